"""Writes what transformers and PEFT make of text files in a folder next to a tiny model: tokens, prompts, ends and greedy answers.

    python tools/golden_adapter_texts.py tests/golden/reports

Reads OUT/base and OUT/plain, writes OUT/texts.json. Every case names the files of a folder that is read in two ways: as an adapter's, next
to the weights of `plain`, and as a base's. src/api/text_model_golden_test.cc and tests/adapter_texts_test.cc compare our results with them.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["a <|eos|> b<|im_end|>c", "a<q> <p>b<far>", "x<tool>y</tool><sep> <E> z!", "Hello", "<|im_start|>user\nhi<|im_end|>\n"]
MESSAGES = [{"role": "user", "content": "a<tool>b"}]
BRACKETS = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[bot]{% endif %}"
)


def token(content, **flags):
    described = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return described | flags


def cases(config):
    typed = {"__type": "AddedToken"}
    yield "template in tokenizer_config.json", {"tokenizer_config.json": config | {"chat_template": BRACKETS}}
    yield "template in chat_template.jinja", {"tokenizer_config.json": config, "chat_template.jinja": BRACKETS}
    yield "another end token", {"tokenizer_config.json": config | {"eos_token": "<|im_end|>"}}
    yield "an end token that is new", {"tokenizer_config.json": config | {"eos_token": typed | token("<E>", rstrip=True)}}
    yield "an end token of the vocabulary", {"tokenizer_config.json": config | {"eos_token": "Z"}}
    spare = {"260": token("<tool>", special=False), "261": token("</tool>", special=False, lstrip=True)}
    yield "tokens in spare rows", {"tokenizer_config.json": config | {"added_tokens_decoder": spare}}
    spare = {"261": token("<q>"), "260": token("<p>", special=False), "270": token("<far>")}
    yield "tokens with a gap", {"tokenizer_config.json": config | {"added_tokens_decoder": spare}}
    flags = {"257": token("<|eos|>", lstrip=True), "259": token("<|im_end|>", special=False)}
    yield "flags changed", {"tokenizer_config.json": config | {"added_tokens_decoder": flags}}
    yield "extra special tokens", {"tokenizer_config.json": config | {"extra_special_tokens": ["<q>", typed | token("<p>", lstrip=True)]}}
    yield "additional special tokens", {"tokenizer_config.json": config | {"additional_special_tokens": ["<q>", "!", "<p>"]}}
    both = {"additional_special_tokens": ["<q>"], "extra_special_tokens": ["<p>"]}
    yield "both lists", {"tokenizer_config.json": config | both}
    named = {"extra_special_tokens": {"image_token": "<q>", "boi": "<p>"}, "audio_token": "<far>", "sep_token": "<sep>"}
    shown = "{{ bos_token }}{{ sep_token }}{{ image_token }}{{ audio_token }}{{ messages[0].content }}"
    yield "named special tokens", {"tokenizer_config.json": config | named, "chat_template.jinja": shown}
    special = {"eos_token": token("<|im_end|>"), "bos_token": None, "image_token": "<q>"}
    special["extra_special_tokens"] = ["<far>"]
    yield "special_tokens_map.json over the config", {"tokenizer_config.json": config, "special_tokens_map.json": special}
    ignored = {"tokenizer_config.json": config | {"added_tokens_decoder": {}}, "special_tokens_map.json": {"eos_token": "<|im_end|>"}}
    yield "special_tokens_map.json that is not read", ignored | {"added_tokens.json": {"<tool>": 260}}
    older = {"<tool>": 260, "<|eos|>": 257, "</tool>": 262, "<q>": 261}
    yield "added_tokens.json", {"tokenizer_config.json": config | {"extra_special_tokens": ["<q>"]}, "added_tokens.json": older}
    yield "special tokens split", {"tokenizer_config.json": config | {"split_special_tokens": True}}


def read(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        encoded.append({"text": text, "ids": ids, "kept": tokenizer.decode(ids), "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    chat = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)
    chat = chat["input_ids"] if not isinstance(chat, list) else chat
    return {"encoded": encoded, "chat": chat, "end": tokenizer.eos_token_id, "bos": tokenizer.bos_token}


@torch.no_grad()
def greedy(model, ids, count):
    ids, answer = list(ids), []
    for _ in range(count):
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].float(), -1)
        best = int(logprobs.argmax())
        answer.append([best, round(float(logprobs[best]), 5)])
        ids.append(best)
    return answer


def main(out):
    base, plain = out / "base", out / "plain"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), plain).eval()
    config = json.loads((base / "tokenizer_config.json").read_text())
    results = []
    for name, files in cases(config):
        with tempfile.TemporaryDirectory() as folder:
            for shared in ("tokenizer.json", "config.json"):
                shutil.copy(base / shared, folder)
            for file, content in files.items():
                (Path(folder) / file).write_text(content if isinstance(content, str) else json.dumps(content))
            result = {"name": name, "files": files} | read(folder)
        result["answer"] = greedy(model, result["chat"], 4)
        with model.disable_adapter():
            result["base_answer"] = greedy(model, result["chat"], 4)
        results.append(result)
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    (out / "texts.json").write_text(f'{{"messages": {json.dumps(MESSAGES)}, "cases": [\n{lines}\n]}}\n')


main(Path(sys.argv[1]))
