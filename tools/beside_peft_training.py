#!/usr/bin/env python3
"""Trains the same LoRA adapter with PEFT and with `slora train`, in turns, and prints tokens/s and memory of both.

usage: beside_peft_training.py MODEL [--program PATH] [--tokens 512] [--batch 1] [--rank 16] [--labelled 1.0] [--steps 6] [--rounds 2]
                               [--peft fp32,fp32-checkpointing,bf16] [--slora ARGUMENTS ...]

Samples are --tokens tokens of the repository's documents; the last --labelled share of each is learned. PEFT: all linear layers, AdamW in
fp32; bf16 is autocast over an fp32 model. A step's time is the median but for the first two. Memory: the most that the process had beyond
what it had with the model loaded (PEFT), or beyond the weights that the program reports (slora). Needs torch, transformers, peft.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IGNORED = -100


def make_samples(folder, tokens, count, labelled):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    first = round(tokens * (1 - labelled))
    samples = []
    for i in range(count):
        own = [ids[(i * tokens + k) % len(ids)] for k in range(tokens)]
        samples.append({"input_ids": own, "labels": [IGNORED] * first + own[first:]})
    return samples


def train_with_peft(arguments, samples, mode):
    """In a process of its own: prints JSON."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(arguments.threads)
    base = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    if mode == "fp32-checkpointing":
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    config = LoraConfig(task_type="CAUSAL_LM", r=arguments.rank, lora_alpha=2 * arguments.rank, target_modules="all-linear")
    model = get_peft_model(base, config)
    if mode == "fp32-checkpointing":
        model.enable_input_require_grads()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0.0)
    model.train()
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for step in range(arguments.steps):
        own = samples[step * arguments.batch : (step + 1) * arguments.batch]
        begin = time.perf_counter()
        inputs, labels = (torch.tensor([sample[key] for sample in own]) for key in ("input_ids", "labels"))
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bf16"):
            loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": statistics.median(seconds[2:]), "bytes": (peak - loaded) * 1024, "loss": loss.item()}))


def run_peft(arguments, data, mode):
    command = [sys.executable, __file__, *sys.argv[1:], "--peft-child", mode, "--data", data]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def run_slora(arguments, data):
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log"
        command = [arguments.program, "train", "--model", arguments.model, "--data", data, "--out", f"{folder}/out", "--batch",
                   str(arguments.batch), "--steps", str(arguments.steps), "--rank", str(arguments.rank), "--alpha", str(2 * arguments.rank), "--max-length",
                   str(arguments.tokens), "--threads", str(arguments.threads), "--log", log, *arguments.slora]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(text)
        lines = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
        steps = [line for line in lines if "tokens_per_second" in line]
        rate = statistics.median(line["tokens_per_second"] for line in steps[2:])
        plan = re.search(r"memory: weights ([\d.]+) (MiB|GiB)", text)
        weights = float(plan[1]) * 2 ** {"MiB": 20, "GiB": 30}[plan[2]]
        return {"rate": rate, "bytes": usage.ru_maxrss * 1024 - weights, "loss": steps[-1]["loss"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--labelled", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peft", default="fp32,fp32-checkpointing,bf16")
    parser.add_argument("--slora", nargs="*", default=[], help="further arguments of `slora train`")
    parser.add_argument("--peft-child", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peft_child:
        samples = [json.loads(line) for line in Path(arguments.data).read_text(encoding="utf-8").splitlines()]
        return train_with_peft(arguments, samples, arguments.peft_child)
    tokens = arguments.batch * (arguments.tokens - 1)  # that have one before them
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as data:
        for sample in make_samples(arguments.model, arguments.tokens, arguments.batch * arguments.steps, arguments.labelled):
            data.write(json.dumps(sample) + "\n")
        data.flush()
        for number in range(1, arguments.rounds + 1):
            for mode in arguments.peft.split(","):
                found = run_peft(arguments, data.name, mode)
                rate = tokens / found["seconds"]
                print(f"round {number}, PEFT {mode}: {rate:.0f} tokens/s, {found['bytes'] / 2**20:.0f} MiB", flush=True)
            found = run_slora(arguments, data.name)
            print(f"round {number}, slora: {found['rate']:.0f} tokens/s, {found['bytes'] / 2**20:.0f} MiB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
