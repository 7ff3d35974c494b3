#!/usr/bin/env python3
"""Runs the serving studies of S-LoRA's evaluation on this machine: a real server, driven by `slora bench online`.

usage: serving_studies.py [--program build/cpu/bin/slora] [--seconds 30] [--slo 2] [--json FILE] [STUDY...]

Studies, each at the shape of the demo model with random adapters; all of them without an argument:
  adapters    0, 5, 50, 200 and 1,000 adapters, saturated (Table 3 and Figure 5)
  rate        half to one and a half times the saturating rate, with 50 adapters (Figure 6)
  trace       a skewed trace with bursts: alpha 0.8 and cv 2, at 0.9 times the saturating rate (Figure 7's kind)
  abort       fcfs and deadline under bursts of cv 1, 4 and 8, at 1.25 times the saturating rate (Figure 10)
  clustering  adapter-grouped with at most 1, 4, 8 or any number of adapters, saturated, rank 64 (Figures 11 and 12)

Prompts have 8 to 256 tokens, answers 8 to 128. The saturating rate is measured first: what is served per second when more
arrives than can be. "served/s" counts until the last answer. Needs only Python. Prints a table; --json also writes a line
for each run.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = ["--input-tokens", "8:256", "--output-tokens", "8:128", "--vocabulary", "1700"]
OVERLOAD = 150  # requests a second, more than a small machine serves at this shape
STUDIES = ("adapters", "rate", "trace", "abort", "clustering")


class Studies:
    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.capacity = arguments, folder, None

    def adapters(self, rank):
        folder = self.folder / f"rank-{rank}"
        if not folder.exists():
            subprocess.run([self.arguments.program, "bench", "adapters", folder, "--model", ROOT / "demo/model", "--count", "1000",
                            "--rank", str(rank)], check=True, stdout=subprocess.DEVNULL)
        return folder

    def run(self, study, label, *workload, policy=("fcfs",), rank=16, seconds=None):
        """One server and one workload; the figures that `slora bench online` writes of the run."""
        command = [self.arguments.program, "serve", "--model", ROOT / "demo/model", "--adapters", self.adapters(rank), "--port", "0",
                   "--pool-memory", "256MiB", "--max-waiting", "100000", "--request-memory", "2GiB", "--policy", *policy]
        server = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = next((line.rsplit(":", 1)[1].strip() for line in server.stdout if line.startswith("listening on")), None)
            if port is None:
                raise SystemExit("the server did not start: " + " ".join(map(str, command)))
            threading.Thread(target=server.stdout.read, daemon=True).start()
            results = self.folder / "run.jsonl"
            subprocess.run([self.arguments.program, "bench", "online", "--url", f"http://127.0.0.1:{port}", "--seconds",
                            str(seconds or self.arguments.seconds), "--slo", str(self.arguments.slo), "--json", results, *LENGTHS,
                            *map(str, workload)], check=True, stdout=subprocess.DEVNULL)
        finally:
            server.kill()
            server.wait()
        figures = json.loads(results.read_text().splitlines()[-1])
        self.print(study, label, figures)
        if self.arguments.json:
            with open(self.arguments.json, "a") as file:
                file.write(json.dumps({"study": study, "label": label, **figures}) + "\n")
        return figures

    @staticmethod
    def print(study, label, figures):
        summary = figures["summary"]
        first = summary["first_token_seconds"]
        row = [f"{summary['offered_per_second']:.1f}", f"{summary['requests_per_second']:.2f}",
               f"{summary['output_tokens_per_second']:.0f}", f"{first['p50']:.2f}", f"{first['p99']:.2f}",
               f"{summary['slo_attainment']:.0%}", f"{summary['satisfaction']:.2f}", str(summary["aborted"])]
        print("|", " | ".join([study, label, *row]), "|", flush=True)

    def saturating_rate(self):
        if self.capacity is None:
            summary = self.run("capacity", "50 adapters", "--adapter-count", 50, "--rate", OVERLOAD, seconds=5)["summary"]
            self.capacity = summary["completed"] / summary["seconds"]
        return self.capacity

    def run_adapters(self):
        for count in (0, 5, 50, 200, 1000):
            self.run("adapters", f"n = {count}", "--adapter-count", count, "--rate", 1.5 * self.saturating_rate())

    def run_rate(self):
        for share in (0.5, 0.75, 1, 1.25, 1.5):
            self.run("rate", f"{share} of capacity", "--adapter-count", 50, "--rate", share * self.saturating_rate())

    def run_trace(self):
        self.run("trace", "alpha 0.8, cv 2", "--adapter-count", 26, "--alpha", 0.8, "--cv", 2, "--rate", 0.9 * self.saturating_rate())

    def run_abort(self):
        for cv in (1, 4, 8):
            for policy in (("fcfs",), ("deadline", "--first-token-slo", self.arguments.slo)):
                self.run("abort", f"cv {cv}, {policy[0]}", "--adapter-count", 50, "--cv", cv, "--rate", 1.25 * self.saturating_rate(),
                         policy=policy)

    def run_clustering(self):
        for group in (1, 4, 8, 0):
            self.run("clustering", f"d = {group or 'any'}", "--adapter-count", 32, "--rate", 1.25 * self.saturating_rate(), rank=64,
                     policy=("adapter-grouped", "--adapter-group-max", group, "--adapter-wait-max", 600))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--seconds", type=float, default=30, help="length of each workload")
    parser.add_argument("--slo", type=float, default=2, help="seconds to the first token")
    parser.add_argument("--json", help="file that gets a line for each run")
    parser.add_argument("studies", nargs="*", choices=[[], *STUDIES], metavar="STUDY")
    arguments = parser.parse_args()
    print("| study | run | offered/s | served/s | tokens/s | first token p50, s | p99 | SLO | satisfaction | aborted |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        studies = Studies(arguments, pathlib.Path(folder))
        for name in arguments.studies or STUDIES:
            getattr(studies, "run_" + name)()


if __name__ == "__main__":
    main()
