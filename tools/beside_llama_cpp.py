#!/usr/bin/env python3
"""Runs llama.cpp's server and slora's on one GGUF file, in turns, and prints what each serves per second.

usage: beside_llama_cpp.py MODEL.gguf [--weights int8] [--adapters FOLDER] [--program build/cpu/bin/slora] [--threads 2] [--rounds 3] [--json FILE]

  --weights       how slora keeps the weights; llama.cpp computes with the file's own. For equal bits: Q8_0 int8, Q4_K_M int4, BF16 bf16
  --instructions  slora's own option: the package's llama.cpp is compiled for AVX2, so avx2 is what is equal to it
  --adapters      a folder of folders with one GGUF adapter each (make_gguf.py), for the streams that each use another

Rows, in tokens per second, the median of the rounds:
  prefill 512      one prompt of 512 tokens, none of them cached, until its first token
  decode 1         one stream of 128 tokens after a prompt of 16, from its first token to its last
  streams 8        8 such streams at once, sent together, from the first request to the last answer's end
  adapters 8       the same, each stream with another adapter
Needs the package xllamacpp, which holds llama.cpp's server, and nothing else. One server runs at a time; they take turns in each round.
"""

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMPT, DECODED, STREAMS, LONG = 16, 128, 8, 512
FIRST_WORDS = 1000  # tokens below are plain words in any vocabulary
ROWS = ("prefill", "decode", "streams", "adapters")


def serve_llama(model, threads, adapters):
    """llama.cpp's server in this process, until standard input closes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 8192, STREAMS, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.port = 0
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in adapters]
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    sys.stdin.read()


class Peer:
    """A server that runs: starts it, and gives the address."""

    def __init__(self, command):
        self.command = [str(part) for part in command]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        for line in self.process.stdout:
            if found := re.search(r"listening on (http://\S+)", line):
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return found[1]
            said.append(line)
        raise SystemExit(" ".join(self.command) + " did not listen:\n" + "".join(said[-5:]))

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Llama:
    name = "llama.cpp"

    def __init__(self, options, adapters):
        self.adapters = adapters
        self.peer = Peer([sys.executable, __file__, options.model, "--serve-llama", "--threads", options.threads,
                          *(["--adapters", options.adapters] if options.adapters else [])])  # fmt: skip

    def body(self, prompt, count, adapter):
        scales = [{"id": index, "scale": float(index == adapter)} for index in range(len(self.adapters))]
        return "/completion", {"prompt": prompt, "n_predict": count, "ignore_eos": True, "cache_prompt": False, "stream": True, "temperature": 0, "lora": scales}


class Slora:
    name = "slora"

    def __init__(self, options, adapters):
        self.adapters = adapters
        self.peer = Peer([options.program, "serve", "--model", options.model, "--port", "0", "--weights", options.weights, "--threads", options.threads,
                          "--served-model-name", "base", "--instructions", options.instructions, *(["--adapters", options.adapters] if options.adapters else [])])  # fmt: skip

    def body(self, prompt, count, adapter):
        model = "base" if adapter is None else self.adapters[adapter].parent.name
        return "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": count, "ignore_eos": True, "stream": True, "temperature": 0}


def stream(address, path, body):
    """When the first and the last piece of text came."""
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    times = []
    with urllib.request.urlopen(request, timeout=600) as answer:
        for line in answer:
            if line.startswith(b"data:") and b"[DONE]" not in line:
                times.append(time.perf_counter())
    return times[0], times[-1]


def measure(server, address, has_adapters, draw):
    def ask(count, length, adapter=None):
        return stream(address, *server.body(draw(length), count, adapter))

    def together(adapters):
        begin = time.perf_counter()
        threads = [threading.Thread(target=ask, args=(DECODED, PROMPT, adapter)) for adapter in adapters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(adapters) * DECODED / (time.perf_counter() - begin)

    ask(8, PROMPT)
    begin = time.perf_counter()
    row = {"prefill": LONG / (ask(1, LONG)[0] - begin)}
    first, last = ask(DECODED, PROMPT)
    row["decode"] = (DECODED - 1) / (last - first)
    row["streams"] = together([None] * STREAMS)
    if has_adapters:
        for adapter in range(STREAMS):
            ask(2, PROMPT, adapter)
        row["adapters"] = together(range(STREAMS))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--weights", default="int8", choices=("bf16", "int8", "int4"))
    parser.add_argument("--instructions", default="best")
    parser.add_argument("--adapters")
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--serve-llama", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    adapters = sorted(Path(options.adapters).glob("*/*.gguf"))[:STREAMS] if options.adapters else []
    if options.adapters and len(adapters) < STREAMS:
        raise SystemExit(f"{options.adapters}: expected {STREAMS} folders with a GGUF adapter, found {len(adapters)}")
    if options.serve_llama:
        return serve_llama(options.model, options.threads, adapters)

    words = random.Random(0)

    def draw(count):
        return [words.randrange(100, FIRST_WORDS) for _ in range(count)]

    rounds = {"llama.cpp": [], "slora": []}
    for index in range(options.rounds):
        for kind in (Llama, Slora):
            server = kind(options, adapters)
            with server.peer as address:
                rounds[server.name].append(measure(server, address, bool(adapters), draw))
            print(f"round {index + 1}, {server.name}: " + ", ".join(f"{row} {value:.1f}" for row, value in rounds[server.name][-1].items()), flush=True)
    print(f"{'':10} {'llama.cpp':>10} {'slora':>10} {'ratio':>7}   ({Path(options.model).name}, slora {options.weights})")
    for row in ROWS[: 3 + bool(adapters)]:
        theirs, ours = (statistics.median(row_of[row] for row_of in rounds[name]) for name in rounds)
        print(f"{row:10} {theirs:10.1f} {ours:10.1f} {ours / theirs:7.2f}")
    if options.json:
        with open(options.json, "a") as out:
            print(json.dumps({"model": Path(options.model).name, "weights": options.weights, "threads": options.threads, "rounds": rounds}), file=out)


main()
