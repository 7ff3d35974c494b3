#!/usr/bin/env python3
"""Holds an adapter that `slora train` wrote against PEFT and transformers.

usage: check_trained_adapter.py BASE ADAPTER [--slora PROGRAM]

PEFT must load it without a missing or unexpected tensor, and write the same tensors and the same values of its config again; its README must
have the front matter that the hub reads, and its trainer_state.json must be one of transformers. With --slora, the greedy answer to a
message is compared, too. Needs torch, transformers, peft and PyYAML.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import yaml
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerState

MESSAGE = "Rosa painted a broken hat at the market."


def tensors_of(path):
    with safe_open(path, "pt") as file:
        return file.metadata(), list(file.keys()), {name: file.get_tensor(name) for name in file.keys()}


def check_weights(adapter, saved):
    metadata, names, tensors = tensors_of(adapter / "adapter_model.safetensors")
    assert metadata == {"format": "pt"}, metadata
    assert names == sorted(names) and all(name.startswith("base_model.model.") for name in names), names[:3]
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    _, _, again = tensors_of(saved / "adapter_model.safetensors")
    assert again.keys() == tensors.keys(), again.keys() ^ tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    assert any(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_B" in name), "nothing was learned"
    return len(tensors)


def check_config(adapter, saved):
    ours = json.loads((adapter / "adapter_config.json").read_text())
    theirs = json.loads((saved / "adapter_config.json").read_text())
    for key, value in ours.items():
        again = theirs.get(key)
        same = sorted(again) == value if key == "target_modules" else again == value
        assert same, (key, value, again)
    return len(ours)


def check_texts(adapter):
    _, front_matter, _ = (adapter / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(front_matter)
    assert card["library_name"] == "peft" and "lora" in card["tags"] and card["base_model"], card
    state = TrainerState.load_from_json(str(adapter / "trainer_state.json"))
    assert state.log_history and state.global_step == max(entry["step"] for entry in state.log_history), state.global_step
    return len(state.log_history)


def answer(model, tokenizer):
    messages = [{"role": "user", "content": MESSAGE}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=16, do_sample=False)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--slora", help="the program, to compare what it generates")
    arguments = parser.parse_args()
    base = AutoModelForCausalLM.from_pretrained(arguments.base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)  # PEFT warns of tensors that are missing
        model = PeftModel.from_pretrained(base, str(arguments.adapter))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensor_count = check_weights(arguments.adapter, Path(folder))
        key_count = check_config(arguments.adapter, Path(folder))
    entry_count = check_texts(arguments.adapter)
    print(f"PEFT reads and writes the same {tensor_count} tensors and {key_count} keys; transformers reads {entry_count} entries of the log")
    if arguments.slora:
        expected = answer(model, AutoTokenizer.from_pretrained(arguments.base))
        command = [arguments.slora, "generate", "--model", arguments.base, "--adapter", arguments.adapter, "--message", MESSAGE]
        command += ["--max-tokens", "16", "--temperature", "0", "--backend", "reference", "--pool-memory", "256MiB"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.removesuffix("\n")
        print(f"transformers: {expected!r}\nslora:        {found!r}")
        return int(found != expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
