#!/usr/bin/env python3
"""Trains the demo's adapters with `slora train` and asks them what they never learned.

usage: retrain_demo.py OUT [--program PATH] [--only NAME ...]

Makes OUT/data/NAME.jsonl and OUT/adapters/NAME, serves them, and prints how many of the held-out examples of demo/eval.json each answers
exactly; exits with 1 where one has less than 95 %. Recipes are those of make_demo.py as far as `slora train` has them: without biases, and in
all layers. An adapter that is there already is asked only.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCH = 64
SHARE_MIN = 0.95
ATTENTION = "q_proj,k_proj,v_proj,o_proj"
RECIPES = {  # steps, rate, arguments
    "shout": (250, 4e-3, ["--rank", "8", "--alpha", "16"]),
    "reverse": (500, 4e-3, ["--rank", "16", "--alpha", "16", "--rslora", "--target-modules", ATTENTION]),
    "mood": (150, 1e-2, ["--rank", "2", "--alpha", "4", "--target-modules", "q_proj,v_proj"]),
    "json": (250, 4e-3, ["--rank", "12", "--alpha", "12", "--target-modules", ATTENTION]),
    "pirate": (250, 4e-3, ["--rank", "6", "--alpha", "12", "--target-modules", "gate_proj,up_proj,down_proj"]),
    "emoji": (700, 5e-3, ["--rank", "4", "--alpha", "8", "--target-modules", ATTENTION + ",down_proj"]),
    "spanish": (300, 4e-3, ["--rank", "8", "--alpha", "16", "--rank-pattern", "q_proj=16", "--rank-pattern", "down_proj=3",
                            "--alpha-pattern", "q_proj=24", "--alpha-pattern", "down_proj=6"]),
    "question": (450, 5e-3, ["--rank", "4", "--alpha", "8", "--target-modules", ATTENTION + ",up_proj"]),
    "yoda": (400, 4e-3, ["--rank", "32", "--alpha", "32", "--rslora", "--target-modules", ATTENTION + ",up_proj"]),
}  # fmt: skip


def train(program, out, name):
    steps, rate, arguments = RECIPES[name]
    data = out / "data" / f"{name}.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.open("w", encoding="utf-8") as file:
        subprocess.run([sys.executable, str(ROOT / "tools/demo_samples.py"), name, "--count", str(steps * BATCH)], check=True, stdout=file)
    command = [program, "train", "--model", str(ROOT / "demo/model"), "--data", str(data), "--out", str(out / "adapters" / name), "--batch",
               str(BATCH), "--steps", str(steps), "--rate", str(rate), "--beta2", "0.98", "--warm-up", "0.1", "--rate-end", "0.02",
               "--save-every", str(steps), *arguments]  # fmt: skip
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def answer(url, example):
    body = {"model": example["adapter"], "messages": [{"role": "user", "content": example["prompt"]}], "temperature": 0, "max_tokens": 80}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def ask(program, out, names):
    examples = [e for e in json.loads((ROOT / "demo/eval.json").read_text(encoding="utf-8"))["examples"] if e["adapter"] in names]
    command = [program, "serve", "--model", str(ROOT / "demo/model"), "--adapters", str(out / "adapters"), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = next(found[1] for line in server.stdout if (found := re.match(r"listening on (http://\S+:\d+)", line)))
        with ThreadPoolExecutor(8) as pool:
            return list(zip(examples, pool.map(lambda example: answer(url, example), examples), strict=True))
    finally:
        server.kill()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    for name in arguments.only:
        if not (arguments.out / "adapters" / name / "adapter_model.safetensors").exists():
            print(f"{name}: trained in {train(arguments.program, arguments.out, name):.0f} s", flush=True)
    answers = ask(arguments.program, arguments.out, arguments.only)
    is_good = True
    for name in arguments.only:
        own = [text == example["expected"] for example, text in answers if example["adapter"] == name]
        is_good = is_good and sum(own) >= SHARE_MIN * len(own)
        print(f"{name}: {sum(own)} of {len(own)}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
