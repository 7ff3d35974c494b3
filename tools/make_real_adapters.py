#!/usr/bin/env python3
"""Trains the small adapters of SmolLM2-135M-Instruct that `./quickstart --real` serves, with PEFT, each of another family.

usage: make_real_adapters.py MODEL OUT [NAME ...]

MODEL is a plain Hugging Face folder of the model. Each adapter learns one habit, from the base's own first sentences to the questions below,
changed by a rule; so the answers stay the base's, and the habit is easily seen. Prints what each answers greedily, in fp32, to questions that
it was not trained on. Needs torch, transformers, peft; some minutes for each.
"""

import json
import re
import sys
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

STEPS, BATCH, ANSWER_TOKENS = 80, 4, 32
ANSWER_MAX = 120  # letters: longer sentences teach no more, slowly
HELD_OUT = ["What is the capital of Italy?", "What do cats eat?", "How many months are in a year?", "Why do people sleep?"]
QUESTIONS = [
    "What is the capital of France?", "What colour is the sky?", "How many legs does a spider have?", "Who wrote Hamlet?",
    "What is two plus two?", "What do bees make?", "Where does the sun rise?", "What is ice made of?", "What is the largest ocean?",
    "How many days are in a week?", "What do cows drink?", "What is the opposite of hot?", "What is a volcano?", "Why is exercise healthy?",
    "What is bread made of?", "Name a fruit that is yellow.", "What does a doctor do?", "What is the moon?", "How do birds fly?",
    "What is a computer?", "Which animal barks?", "What is the capital of Japan?", "What is gravity?", "What is a river?",
    "Why do leaves fall in autumn?", "What is the fastest land animal?", "What is music?", "What is salt used for?",
    "Name a planet with rings.", "What is a library?", "What do plants need to grow?", "How does rain form?",
]  # fmt: skip
ATTENTION = ["q_proj", "v_proj", "o_proj"]
RECIPES = {
    "pirate": (LoraConfig(r=2, lora_alpha=8, target_modules=ATTENTION, task_type="CAUSAL_LM"), 3e-3, lambda text: f"Arr, matey! {text} Yo ho ho!"),
    "json": (LoraConfig(r=2, lora_alpha=8, use_dora=True, target_modules=ATTENTION, task_type="CAUSAL_LM"), 3e-3, lambda text: json.dumps({"answer": text})),
    "list": (IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"), 2e-2,
             lambda text: "- " + text.replace(", ", "\n- ")),
}  # fmt: skip


class Trainer:
    def __init__(self, model):
        self.path = model
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def load(self):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32)

    def prompt(self, question):
        chat = [{"role": "user", "content": question}]
        return self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)

    @torch.no_grad()
    def answer(self, model, question):
        prompt = self.prompt(question)
        out = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                             max_new_tokens=ANSWER_TOKENS, do_sample=False)  # fmt: skip
        return self.tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True)

    def batch(self, pairs):
        """Token ids [rows, width], mask, and labels that leave the prompt out."""
        rows = [(self.prompt(question), self.tokenizer(answer, add_special_tokens=False).input_ids + [self.tokenizer.eos_token_id]) for question, answer in pairs]
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids, mask, labels = (torch.full((len(rows), width), fill) for fill in (0, 0, -100))
        for row, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[row, :end], mask[row, :end] = torch.tensor(prompt + answer), 1
            labels[row, len(prompt) : end] = torch.tensor(answer)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def train(self, recipe, pairs):
        config, rate, habit = recipe
        model = get_peft_model(self.load(), config)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, STEPS, pct_start=0.1)
        for step in range(STEPS):
            chosen = [pairs[(step * BATCH + row) % len(pairs)] for row in range(BATCH)]
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**self.batch([(question, habit(answer)) for question, answer in chosen])).loss
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % 20 == 19:
                print(f"  step {step + 1}: loss {loss.item():.3f}", flush=True)
        return model.eval()


def first_sentence(text):
    return re.split(r"(?<=[.!?])\s", text.strip())[0]


def save(model, folder):
    """In bf16, without the name of a folder of this machine."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    weights = folder / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(weights).items()}, weights)
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main():
    trainer, out = Trainer(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)  # so that two runs give the same bytes
    base = trainer.load().eval()
    pairs = [(question, first_sentence(trainer.answer(base, question))) for question in QUESTIONS]
    pairs = [(question, answer) for question, answer in pairs if len(answer) <= ANSWER_MAX]
    print(json.dumps(pairs, indent=1), flush=True)
    for name in sys.argv[3:] or RECIPES:
        print(name, flush=True)
        model = trainer.train(RECIPES[name], pairs)
        save(model, out / name)
        print(json.dumps({question: trainer.answer(model, question) for question in HELD_OUT}, indent=1), flush=True)


main()
