#!/usr/bin/env python3
"""Writes tests/golden/reports/expected.safetensors: what transformers and PEFT make of the folders that tests/reports_test.cc puts together.

"logits.X" are of the weights as they stand in the files, in fp32; "rounded.X" of the same weights rounded to bf16, which
backends that hold weights in bf16 are compared with. "bf16_error.X" is how far transformers itself is from that when it
computes in bf16, as a share of the norm of all logits: these random weights are large, and roundings add up.
"""
import json
import pathlib
import sys
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

REPORTS = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/reports"
GREEDY = 6


def base_config(**changes):
    return json.loads((REPORTS / "base/config.json").read_text()) | changes


def without_prefix(tensors):
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


def variants():
    """Name, config and tensors of each model; the same as in tests/reports_test.cc."""
    tensors = load_file(REPORTS / "base/model.safetensors")
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    tied = base_config(tie_word_embeddings=True)
    yield "base", base_config(), tensors
    yield "tied_two_tables", json.loads((REPORTS / "tied_two_tables.json").read_text()), tensors
    yield "tied_equal_tables", tied, tensors | {head: tensors[embedding].clone()}
    yield "tied_head_only", tied, {name: tensor for name, tensor in tensors.items() if name != embedding}
    yield "tied_without_prefix", tied, without_prefix(tensors)
    yield "biases_in_config_only", base_config(attention_bias=True, mlp_bias=True), tensors
    yield "llama_with_window", base_config(sliding_window=3, architectures=["LLaMAForCausalLM"]), tensors
    yield "yarn_finetuned", json.loads((REPORTS / "yarn_finetuned.json").read_text()), tensors


def rounded(tensors):
    return {name: tensor.bfloat16().float() for name, tensor in tensors.items()}


def load(config, tensors, dtype=torch.float32):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def load_plain(model, change=lambda tensors: tensors):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "adapter_config.json").write_text((REPORTS / "plain/adapter_config.json").read_text())
        save_file(change(load_file(REPORTS / "plain/adapter_model.safetensors")), folder / "adapter_model.safetensors")
        return PeftModel.from_pretrained(model, folder).eval()


def error_of(found, expected):
    return ((found - expected).norm() / expected.norm()).reshape(1)


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def greedy(model, ids):
    ids = list(ids)
    for _ in range(GREEDY):
        ids.append(int(logits_of(model, ids)[-1].argmax()))
    return ids[-GREEDY:]


def main():
    tokenizer = AutoTokenizer.from_pretrained(REPORTS / "base")
    hello = tokenizer("Hello")["input_ids"]
    prompt = tokenizer("Hello, how are you?")["input_ids"]
    out = {"ids": torch.tensor(prompt, dtype=torch.int32)}
    found = {}
    for name, config, tensors in variants():
        model = load(config, tensors)
        out["logits." + name] = logits_of(model, prompt)
        out["rounded." + name] = logits_of(load(config, rounded(tensors)), prompt)
        in_bf16 = load(config, tensors, torch.bfloat16)
        out["bf16_error." + name] = error_of(logits_of(in_bf16, prompt), out["rounded." + name])
        found[name] = greedy(model, hello)
        if name == "base":
            model = load_plain(model)
            out["logits.plain"] = logits_of(model, prompt)
            out["rounded.plain"] = logits_of(load_plain(load(config, rounded(tensors)), rounded), prompt)
            in_bf16 = load_plain(in_bf16).to(torch.bfloat16)
            out["bf16_error.plain"] = error_of(logits_of(in_bf16, prompt), out["rounded.plain"])
            found["plain"] = greedy(model, hello)
    if len(sys.argv) > 1:  # the tokens that came with the reports
        reported = json.loads(pathlib.Path(sys.argv[1]).read_text())
        for name, key in {"base": "base", "plain": "plain", "tied_two_tables": "01", "yarn_finetuned": "39"}.items():
            assert found[name] == [token for token, _ in reported[key]], (name, found[name], reported[key])
    save_file(out, REPORTS / "expected.safetensors")


if __name__ == "__main__":
    main()
