#!/usr/bin/env python3
"""Makes the demo from nothing: text, tokenizer, base model, adapters, and the held-out examples that judge them.

    tools/make_demo.py OUT            makes what OUT does not have yet: OUT/model, OUT/adapters/*, OUT/eval.json; then measures
    tools/make_demo.py --check DIR    only measures, with transformers and peft, in bf16

Everything follows from fixed seeds; an empty OUT takes about half an hour on one free core with AVX-512 BF16. Needs torch, transformers
(5), peft, tokenizers and safetensors. The text is in demo_text.py, network and training loop in demo_model.py.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging

from demo_model import base_document, batches, model_config, save_base, skill_document, train, train_tokenizer, write_json
from demo_text import HELD_OUT_RULE, SKILLS, Sentence, acknowledge, draw_sentence

SEED = 20
BATCH = 64
BASE_STEPS = 1600
EVAL_EXAMPLES = 50  # per adapter, in eval.json
MEASURED_EXAMPLES = 300  # per adapter, in the printed rate; the first of them are those of eval.json
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass(frozen=True)
class AdapterRecipe:
    steps: int
    rate: float
    lora: dict[str, Any] = field(default_factory=dict)  # arguments of LoraConfig


# As different from one another as PEFT's LoRA allows, so that serving all of them together exercises every switch.
RECIPES = {
    "shout": AdapterRecipe(250, 4e-3, {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}),
    "reverse": AdapterRecipe(500, 4e-3, {"r": 16, "lora_alpha": 16, "use_rslora": True, "target_modules": ATTENTION}),
    "mood": AdapterRecipe(150, 1e-2, {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}),
    "json": AdapterRecipe(250, 4e-3, {"r": 12, "lora_alpha": 12, "target_modules": r".*\.self_attn\.(q|k|v|o)_proj"}),
    "pirate": AdapterRecipe(250, 4e-3, {"r": 6, "lora_alpha": 12, "target_modules": ["gate_proj", "up_proj", "down_proj"]}),
    "emoji": AdapterRecipe(
        700, 5e-3, {"r": 4, "lora_alpha": 8, "target_modules": [*ATTENTION, "down_proj"], "layers_to_transform": [1, 2, 3]}
    ),
    "spanish": AdapterRecipe(
        300,
        4e-3,
        {
            "r": 8,
            "lora_alpha": 16,
            "target_modules": "all-linear",
            "rank_pattern": {"q_proj": 16, "down_proj": 3, r"layers\.0\.mlp\.up_proj": 5},
            "alpha_pattern": {"q_proj": 24, "down_proj": 6},
        },
    ),
    "question": AdapterRecipe(450, 5e-3, {"r": 4, "lora_alpha": 8, "lora_bias": True, "target_modules": [*ATTENTION, "up_proj"]}),
    "yoda": AdapterRecipe(400, 4e-3, {"r": 32, "lora_alpha": 32, "use_rslora": True, "target_modules": [*ATTENTION, "up_proj"]}),
}


def make_base(folder: Path) -> None:
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(SEED, vocabulary=2048)
    model = LlamaForCausalLM(model_config(tokenizer))
    print(f"base: {model.num_parameters():,} parameters, {tokenizer.get_vocab_size()} tokens")
    train(model, batches(tokenizer, base_document, SEED, BATCH), BASE_STEPS, 2e-3, "base")
    save_base(folder, tokenizer, model)


def make_adapter(name: str, base_folder: Path, folder: Path) -> None:
    """Trains on the base as it was saved, rounded to bf16, and saves the adapter in bf16 too."""
    torch.manual_seed(SEED)
    recipe = RECIPES[name]
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **recipe.lora))
    model.peft_config["default"].base_model_name_or_path = "demo/model"
    examples = batches(tokenizer.backend_tokenizer, skill_document(name), SEED, BATCH)
    train(model.get_base_model(), examples, recipe.steps, recipe.rate, name)
    model.to(torch.bfloat16).save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty form
    config = json.loads((folder / "adapter_config.json").read_text())
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft keeps a set, whose order differs from run to run
    write_json(folder / "adapter_config.json", config)


def held_out_examples(name: str) -> list[tuple[str, str]]:
    """(prompt, expected) for one adapter, or for the base under the name "base"."""
    answer = {skill.name: skill.answer for skill in SKILLS}.get(name, acknowledge)
    rng = random.Random(f"held out {name}")
    sentences: dict[str, Sentence] = {}
    while len(sentences) < MEASURED_EXAMPLES:
        sentence = draw_sentence(rng, held_out=True)
        sentences.setdefault(sentence.text(), sentence)
    return [(text, answer(sentence)) for text, sentence in sentences.items()]


def write_examples(path: Path) -> None:
    """One example per line, so that a change of one shows as a change of one."""

    def lines(records: Iterable[dict[str, str]]) -> str:
        return ",\n".join("    " + json.dumps(record, ensure_ascii=False) for record in records)

    of_adapters = [
        {"adapter": name, "prompt": prompt, "expected": expected}
        for name in RECIPES
        for prompt, expected in held_out_examples(name)[:EVAL_EXAMPLES]
    ]
    of_base = [{"prompt": prompt, "expected": expected} for prompt, expected in held_out_examples("base")[:EVAL_EXAMPLES]]
    path.write_text(
        f'{{\n  "rule": {json.dumps("Never trained on: sentences where " + HELD_OUT_RULE + ".")},\n'
        f'  "examples": [\n{lines(of_adapters)}\n  ],\n  "base_examples": [\n{lines(of_base)}\n  ]\n}}\n'
    )


@torch.no_grad()
def answers(model: LlamaForCausalLM | PeftModel, tokenizer: Any, prompts: list[str]) -> list[str]:
    """Greedy answers to single user messages, in the order of the prompts."""
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    rendered = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    results: list[str] = []
    for start in range(0, len(rendered), 100):
        inputs = tokenizer(
            rendered[start : start + 100], add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        )
        outputs = model.generate(
            **inputs, max_new_tokens=80, do_sample=False, top_k=None, pad_token_id=model.config.eos_token_id
        )
        results += tokenizer.batch_decode(outputs[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return results


def measure(folder: Path) -> bool:
    """Prints the share of exact answers, base and adapters; true if eval.json is answered at 95 % or better by every adapter."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.pad_token = tokenizer.eos_token
    committed = json.loads((folder / "eval.json").read_text())["examples"]
    good = True
    print(f"{'':10} {'eval.json':>12} {'held out':>12}   an answer")
    for name in ["base", *RECIPES]:
        model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16)
        if name != "base":
            model = PeftModel.from_pretrained(model, folder / "adapters" / name, autocast_adapter_dtype=False)
        examples = held_out_examples(name)
        if name != "base":
            in_file = [(record["prompt"], record["expected"]) for record in committed if record["adapter"] == name]
            if in_file != examples[:EVAL_EXAMPLES]:
                raise SystemExit(f"{folder}/eval.json does not hold what this script makes for {name}; remove it and make it again")
        given = answers(model.eval(), tokenizer, [prompt for prompt, _ in examples])
        right = [answer == expected for answer, (_, expected) in zip(given, examples)]
        in_file_right = sum(right[:EVAL_EXAMPLES])
        good = good and (name == "base" or in_file_right >= 0.95 * EVAL_EXAMPLES)
        print(f"{name:10} {in_file_right:5} of {EVAL_EXAMPLES:3} {sum(right):5} of {len(right):3}   {given[0]}", flush=True)
        wrong = next((index for index, is_right in enumerate(right) if not is_right), None)
        if wrong is not None:
            print(f"{'':10} wrong: {given[wrong]!r}, expected {examples[wrong][1]!r}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--check", action="store_true", help="measure what is there and make nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    folder: Path = arguments.folder
    if not arguments.check:
        if not (folder / "model" / "config.json").exists():
            make_base(folder / "model")
        for name in RECIPES:
            if not (folder / "adapters" / name / "adapter_config.json").exists():
                make_adapter(name, folder / "model", folder / "adapters" / name)
        write_examples(folder / "eval.json")
    return 0 if measure(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
