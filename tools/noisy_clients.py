#!/usr/bin/env python3
"""Measures what one tenant's load does to another's first tokens: the figures of rows 28 and 31 of docs/trust.md.

usage: noisy_clients.py [--program build/cpu/bin/slora] [--requests 20] [--rounds 3] [--adapters 5000] [MEASUREMENT...]

Measurements, each on a demo server of its own with a context of 2,048 tokens; both without an argument:
  noisy  ann keeps 200 requests for 1,000 tokens outstanding, each of another prompt
  cold   ann keeps 4 streams, each of another one of --adapters cold adapters; and, to compare, of 4 warm ones

Bob asks --requests times in each of --rounds rounds, alone and next to ann, alternately, at most once a second, for prompts
of --prompt tokens that nobody sent before; the first of each round does not count. Prints the median and p99 of his first
tokens, and both in times of those alone. Needs only Python. Times are of this machine and of whatever else runs on it:
compare those of one run.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import pathlib
import random
import shutil
import struct
import tempfile
import threading
import time

from hostile_server import TENANTS, HostServer, quantile, shown, write_keys
from soak import ROOT, write_adapter


def prompt_of(draw, tokens):
    return [draw.randrange(100, 1000) for _ in range(tokens)]


def keep_asking(port, seed, bodies):
    """One request of ann's after the other, for ever."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + TENANTS["ann"]}
    for body in bodies(seed):
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise SystemExit(answer[:200])


def run_streams(port, count, bodies):
    threads = [threading.Thread(target=keep_asking, args=(port, seed, bodies), daemon=True) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def streams(server, count, bodies):
    """That many requests of ann's at any time, from a process of their own."""
    process = multiprocessing.Process(target=run_streams, args=(server.port, count, bodies), daemon=True)
    process.start()
    try:
        time.sleep(5)
        yield
    finally:
        process.terminate()
        process.join()
        time.sleep(2)  # the server drops what is left


def first_tokens(server, arguments, draw, model, tokens):
    times = []
    for _ in range(arguments.requests):
        begun = time.monotonic()
        times.append(server.token_times(2, "bob", model=model, prompt=prompt_of(draw, tokens))[0])
        time.sleep(max(begun + 1 - time.monotonic(), 0))
    return times[1:]


def report(name, alone, next_to):
    print(f"{name}: alone {shown(alone)}", flush=True)
    for what, times in next_to.items():
        median, most = (quantile(times, part) / quantile(alone, part) for part in (0.5, 0.99))
        print(f"{name}: next to {what} {shown(times)}: {median:.2f} and {most:.2f} times", flush=True)


def flood_of(seed):
    draw = random.Random(1000 + seed)
    while True:
        yield {"model": "demo", "prompt": prompt_of(draw, 1000), "max_tokens": draw.randrange(1, 32), "temperature": 0, "ignore_eos": True}


def measure_noisy(arguments):
    with long_server(arguments) as server:
        for tokens in arguments.prompt or [20, 1000]:
            draw, alone, loaded = random.Random(tokens), [], []
            for _ in range(arguments.rounds):
                alone += first_tokens(server, arguments, draw, "demo", tokens)
                with streams(server, 200, flood_of):
                    loaded += first_tokens(server, arguments, draw, "demo", tokens)
            report(f"noisy: prompts of {tokens}", alone, {"200 requests of 1,000 tokens": loaded})


def measure_cold(arguments):
    def ask_for(names):
        def bodies(seed):
            for i in range(seed, 1 << 30, 4):
                yield {"model": names[i % len(names)], "prompt": "Hello", "max_tokens": 16, "temperature": 0, "ignore_eos": True}
        return bodies

    with tempfile.TemporaryDirectory() as folder:
        names = make_adapters(pathlib.Path(folder), arguments.adapters)
        with long_server(arguments, folder) as server:
            for tokens in arguments.prompt or [20, 1000]:
                draw, alone, warm, cold = random.Random(tokens), [], [], []
                for _ in range(arguments.rounds):
                    alone += first_tokens(server, arguments, draw, "bobs", tokens)
                    with streams(server, 4, ask_for(names[:4])):
                        warm += first_tokens(server, arguments, draw, "bobs", tokens)
                    with streams(server, 4, ask_for(names[4:])):
                        cold += first_tokens(server, arguments, draw, "bobs", tokens)
                report(f"cold: prompts of {tokens}", alone, {"4 warm streams": warm, "4 cold streams": cold})
            print("cold:", *(line for line in server.get("/metrics")[1].splitlines() if line.startswith("slora_adapter_loads_total")))


def make_adapters(folder, count):
    """Adapters of rank 8 whose files differ in one number."""
    write_adapter(folder / "bobs", 0, rank=8)
    config, weights = (folder / "bobs" / name for name in ("adapter_config.json", "adapter_model.safetensors"))
    whole, names = weights.read_bytes(), [f"a{i}" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).mkdir()
        shutil.copy(config, folder / name)
        (folder / name / weights.name).write_bytes(whole[:-4] + struct.pack("<f", i / count))
    return names


@contextlib.contextmanager
def long_server(arguments, adapters=ROOT / "demo/adapters"):
    """The demo model with a longer context, for two tenants with keys."""
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model"
        shutil.copytree(ROOT / "demo/model", model)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
        keys = write_keys(folder, {"ann": ["*"], "bob": ["*"]})
        options = ("--api-key-file", keys, "--pool-memory", arguments.pool)
        with HostServer(arguments.program, *options, adapters=adapters, model=model) as server:
            yield server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--adapters", type=int, default=5000)
    parser.add_argument("--pool", default="256MiB", help="memory of the pool")
    parser.add_argument("--prompt", type=int, action="append", help="tokens of bob's prompts; repeatable; 20 and 1,000 without it")
    parser.add_argument("measurements", nargs="*", choices=[[], "noisy", "cold"], metavar="MEASUREMENT")
    arguments = parser.parse_args()
    for name in arguments.measurements or ["noisy", "cold"]:
        {"noisy": measure_noisy, "cold": measure_cold}[name](arguments)


if __name__ == "__main__":
    main()
