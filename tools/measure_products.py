#!/usr/bin/env python3
"""Measures adapters on the fly against padded copies, merged weights and no adapters at all: S-LoRA's Figure 9 on this machine.

usage: measure_products.py FILE.jsonl [--bench build/cpu/bin/slora-bench] [--model Small-GQA] [--counts 1,2,4,8,16] ...

Writes adapters of random numbers, then runs `slora bench traffic` with each number of adapters and each --compute in turn,
several rounds with other seeds, so that a machine whose speed changes treats all alike. Prints a table of medians; the file
gets what every run wrote. On a machine that does other work too, take --threads 1 and compare tokens per second of processor
time. Needs only Python.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

PRODUCTS = ["gathered", "padded", "merged"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="where the figures go, a line of JSON each")
    parser.add_argument("--bench", default="build/cpu/bin/slora-bench")
    parser.add_argument("--model", default="Small-GQA")
    parser.add_argument("--rank", default="mixed", help="of the adapters: a number, or 8, 16 and 64 in rotation")
    parser.add_argument("--targets", default="all", choices=["all", "qv"])
    parser.add_argument("--counts", default="1,2,4,8,16", help="numbers of adapters")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--requests", type=int, default=96, help="of a run")
    parser.add_argument("--input-tokens", type=int, default=64)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def run(options, adapters, count, compute, seed, scratch):
    """The lines that one run wrote."""
    out = pathlib.Path(scratch) / "run.jsonl"
    command = [options.bench, "traffic", "--model", options.model, "--adapters", adapters, "--adapter-count", str(count)]
    command += ["--compute", compute, "--streams", str(options.streams), "--requests", str(options.requests)]
    command += ["--input-tokens", str(options.input_tokens), "--output-tokens", str(options.output_tokens)]
    command += ["--threads", str(options.threads), "--seed", str(seed), "--pool-memory", "1GiB", "--json", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out.read_text().splitlines()


def table(runs):
    """Medians of the rounds. Shares are of the base model's: of the rate, and of what a second of processor time yields."""
    head = ["adapters", "product", "tokens/s", "share", "tokens/processor s", "share", "first token, p50 s", "switches", "ms each"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]

    def median(rounds, figure):
        return statistics.median(figure(one) for one in rounds)

    def rate(rounds):
        return median(rounds, lambda one: one["tokens_per_second"])

    def yielded(rounds):
        return median(rounds, lambda one: one["output_tokens"] / one["processor_seconds"])

    base = runs[0, "gathered"]
    for (count, compute), rounds in runs.items():
        cells = [str(count), "base only" if count == 0 else compute]
        cells += [f"{rate(rounds):.0f}", f"{100 * rate(rounds) / rate(base):.0f} %"]
        cells += [f"{yielded(rounds):.0f}", f"{100 * yielded(rounds) / yielded(base):.0f} %"]
        cells += [f"{median(rounds, lambda one: one['first_token_seconds']['p50']):.2f}"]
        merged = [one["merged"] for one in rounds if "merged" in one]
        each = [1e3 * one["seconds"] / max(one["switches"], 1) for one in merged]
        cells += [f"{median(merged, lambda one: one['switches']):.0f}", f"{statistics.median(each):.0f}"] if merged else ["-", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    options = arguments()
    counts = [int(count) for count in options.counts.split(",")]
    cases = [(0, "gathered")] + [(count, compute) for count in counts for compute in PRODUCTS]
    runs = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as scratch, open(options.file, "w", encoding="utf-8") as file:
        adapters = f"{scratch}/adapters"
        command = [options.bench, "adapters", adapters, "--model", options.model, "--count", str(max(counts))]
        command += ["--rank", options.rank, "--targets", options.targets]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for seed in range(1, options.rounds + 1):
            for count, compute in cases:
                lines = run(options, adapters, count, compute, seed, scratch)
                file.write("\n".join(lines) + "\n")
                file.flush()
                figures = json.loads(lines[-1])
                if figures["errors"] > 0:
                    raise SystemExit(f"{count} adapters, {compute}: {figures['first_error']}")
                runs[count, compute].append(figures)
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
