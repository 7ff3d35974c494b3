#!/usr/bin/env python3
"""Runs a slora server for hours under churn and compares its answers with those of a quiet run.

usage: soak.py [--program build/serve/bin/slora] [--minutes 120] [--adapters 10000] [--clients 12]
               [--memory-over 256] [--folder DIR] [--seed 1]

Needs only Python. It makes ADAPTERS random adapters of the demo model, asks a sample of them one by one for the greedy
answers that count as right, restarts the server with a limit on its memory (what it holds when idle plus MEMORY-OVER MiB
of address space), and then, all at once:

- clients ask adapters (popular ones more often) for greedy answers, which must be the quiet run's or a refusal for lack
  of capacity (429, 503); some stream, some reset the connection at a random moment;
- an operator loads and unloads adapters, replaces the content of one name back and forth (its answers must be one of the
  two), and names broken folders, which must be refused with 4xx;
- a watcher notes resident memory, descriptors and threads every ten seconds.

Prints a line a minute and a summary as JSON; ends with 1 when an answer was wrong, a broken folder was accepted, the
server died, or pages are missing from the pool at the end.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HIDDEN = 256  # of the demo model
PROMPTS = ["Hello", "Clara found a rusty key.", "The queen went home."]
SAMPLE = 200  # adapters whose answers are compared; others are asked for too


def write_adapter(folder, seed, rank=2):
    """A PEFT folder with random weights for q_proj and o_proj of every layer."""
    draw = random.Random(seed)
    tensors, data = {}, bytearray()
    for layer in range(4):
        for module in ("q_proj", "o_proj"):
            for part, shape in (("lora_A", (rank, HIDDEN)), ("lora_B", (HIDDEN, rank))):
                values = [draw.uniform(-0.3, 0.3) for _ in range(shape[0] * shape[1])]
                packed = struct.pack(f"<{len(values)}f", *values)
                name = f"base_model.model.model.layers.{layer}.self_attn.{module}.{part}.weight"
                tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
                data += packed
    header = json.dumps(tensors).encode()
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": ["q_proj", "o_proj"],
              "base_model_name_or_path": "demo", "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)


def make_broken(folder, whole):
    """Folders that must be refused, each in a way of its own."""
    kinds = {}
    weights = (whole / "adapter_model.safetensors").read_bytes()
    config = json.loads((whole / "adapter_config.json").read_text())
    for name, change in {
        "truncated": lambda: (config, weights[:-8]),
        "header": lambda: (config, weights[:4]),
        "pickle": lambda: (config, b"\x80\x04" + weights[2:]),
        "rank": lambda: ({**config, "r": 3}, weights),
        "nan": lambda: (config, weights[:-4] + struct.pack("<f", float("nan"))),
        "modules": lambda: ({**config, "target_modules": ["nothing"]}, weights.replace(b"q_proj", b"x_proj")),
    }.items():
        changed_config, changed_weights = change()
        kinds[name] = folder / name
        kinds[name].mkdir(parents=True)
        (kinds[name] / "adapter_config.json").write_text(json.dumps(changed_config))
        (kinds[name] / "adapter_model.safetensors").write_bytes(changed_weights)
    return kinds


class Server:
    def __init__(self, arguments, adapters):
        command = [arguments.program, "serve", "--model", str(ROOT / "demo/model"), "--served-model-name", "demo", "--adapters",
                   str(adapters), "--port", "0", "--pool-memory", "64MiB", "--threads", "2"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(arguments.log, "ab"), text=True)
        self.port = None
        for line in self.process.stdout:
            if line.startswith("listening on"):
                self.port = int(line.rsplit(":", 1)[1])
                break
        if self.port is None:
            raise SystemExit("the server did not start; see " + arguments.log)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def status(self):
        fields = dict(line.split(":", 1) for line in open(f"/proc/{self.process.pid}/status") if ":" in line)
        return {"resident_kib": int(fields["VmRSS"].split()[0]), "address_kib": int(fields["VmSize"].split()[0]),
                "threads": int(fields["Threads"]), "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd"))}

    def limit_memory(self, mebibytes):
        limit = (self.status()["address_kib"] << 10) + (mebibytes << 20)
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (limit, limit))

    def post(self, path, body, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def pages(self):
        text = self.get("/metrics")[1]
        return {line.split('"')[1]: int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("slora_pool_pages{")}

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


def body_of(model, prompt, **more):
    return {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0, **more}


class Soak:
    def __init__(self, arguments, server, names, expected, folders):
        self.arguments, self.server, self.names, self.expected, self.folders = arguments, server, names, expected, folders
        self.counts, self.wrong, self.lock = collections.Counter(), [], threading.Lock()
        self.reloaded = set(names[-100:])  # which the operator unloads and loads
        self.end = time.monotonic() + 60 * arguments.minutes
        weights = [1 / (1 + index) for index in range(len(names))]
        self.popular = random.Random(arguments.seed).choices(names, weights, k=200_000)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def complain(self, what):
        with self.lock:
            self.counts["wrong"] += 1
            if len(self.wrong) < 20:
                self.wrong.append(what)

    def running(self):
        return time.monotonic() < self.end and self.server.process.poll() is None

    def client(self, number):
        draw = random.Random(self.arguments.seed * 1000 + number)
        while self.running():
            sampled = draw.random() < 0.5
            model = draw.choice(list(self.expected)) if sampled else draw.choice(self.popular)
            prompt = draw.choice(PROMPTS)
            try:
                if draw.random() < 0.2:
                    self.cut_off(draw, model, prompt)
                    continue
                status, text = self.server.post("/v1/completions", body_of(model, prompt))
            except OSError as error:
                self.count(f"connection: {type(error).__name__}")
                time.sleep(0.05)
                continue
            if status == 200:
                answer = json.loads(text)["choices"][0]["text"]
                right = self.expected.get(model, {}).get(prompt)
                self.count("answers")
                if right is not None:
                    self.count("compared")
                    if answer not in right:
                        self.complain(f"{model} {prompt!r}: {answer!r} instead of {right!r}")
            elif status in (429, 503):
                self.count(f"status {status}")
                time.sleep(0.05)
            elif status == 404 and model in self.reloaded:
                self.count("unloaded just then")
            else:
                self.complain(f"{model}: {status} {text[:200]}")

    def cut_off(self, draw, model, prompt):
        """Sends a request and resets the connection at a random moment."""
        body = json.dumps(body_of(model, prompt, stream=True, max_tokens=200, ignore_eos=True)).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(head.encode() + body[: draw.randrange(1, len(body))] if draw.random() < 0.2 else head.encode() + body)
            time.sleep(draw.random() * 0.2)
        self.count("cut off")

    def operator(self):
        draw = random.Random(self.arguments.seed + 77)
        broken = list(self.folders["broken"].items())
        current = self.folders["swap"] / "current"
        side = 0
        while self.running():
            time.sleep(0.05)
            try:
                kind, folder = draw.choice(broken)
                status, text = self.server.post("/v1/load_lora_adapter", {"lora_name": "broken-" + kind, "lora_path": str(folder)})
                self.count("broken folders refused")
                if not 400 <= status < 500 and status not in (429, 503):
                    self.complain(f"broken folder {kind}: {status} {text[:200]}")
                name = draw.choice(sorted(self.reloaded))
                self.server.post("/v1/unload_lora_adapter", {"lora_name": name})
                status, text = self.server.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": name})
                self.count("loaded again" if status == 200 else f"load {status}")
                side = 1 - side
                link = current.with_name("next")
                link.symlink_to(self.folders["swap"] / ("ab"[side]))
                link.replace(current)
                self.server.post("/v1/load_lora_adapter", {"lora_name": "swapped", "lora_path": str(current), "load_inplace": True})
                self.count("replaced")
            except OSError as error:
                self.count(f"operator: {type(error).__name__}")

    def watch(self):
        begun, samples = time.monotonic(), []
        last_line = begun
        while self.running():
            time.sleep(min(10, max(self.end - time.monotonic(), 0)))
            if self.server.process.poll() is not None:
                break
            samples.append({"seconds": round(time.monotonic() - begun), **self.server.status()})
            if time.monotonic() - last_line >= 60:
                last_line = time.monotonic()
                print(json.dumps({**samples[-1], **self.counts}), flush=True)
        return samples

    def run(self):
        workers = [threading.Thread(target=self.client, args=(number,)) for number in range(self.arguments.clients)]
        workers.append(threading.Thread(target=self.operator))
        for worker in workers:
            worker.start()
        samples = self.watch()
        for worker in workers:
            worker.join()
        return samples


def slope_mib_per_hour(samples):
    """Of resident memory in the last half, by least squares."""
    half = samples[len(samples) // 2:]
    if len(half) < 3:
        return None
    mean_x = sum(s["seconds"] for s in half) / len(half)
    mean_y = sum(s["resident_kib"] for s in half) / len(half)
    spread = sum((s["seconds"] - mean_x) ** 2 for s in half)
    return round(sum((s["seconds"] - mean_x) * (s["resident_kib"] - mean_y) for s in half) / spread * 3600 / 1024, 2)


def quiet_answers(arguments, folders, names):
    """The greedy answers of the sampled adapters, one request at a time."""
    server = Server(arguments, folders["adapters"])
    expected = {}
    sample = ["demo"] + random.Random(arguments.seed).sample(names, min(SAMPLE, len(names)))
    for model in sample:
        answers = {}
        for prompt in PROMPTS:
            status, text = server.post("/v1/completions", body_of(model, prompt))
            if status != 200:
                raise SystemExit(f"quiet run: {model}: {status} {text[:300]}")
            answers[prompt] = [json.loads(text)["choices"][0]["text"]]
        expected[model] = answers
    swapped = {prompt: [] for prompt in PROMPTS}
    for side in "ab":
        server.post("/v1/load_lora_adapter",
                    {"lora_name": "swapped", "lora_path": str(folders["swap"] / side), "load_inplace": True})
        for prompt in PROMPTS:
            swapped[prompt].append(json.loads(server.post("/v1/completions", body_of("swapped", prompt))[1])["choices"][0]["text"])
    expected["swapped"] = swapped
    server.stop()
    return expected


def make_folders(arguments, folder):
    adapters = folder / "adapters"
    names = [f"a{index:05}" for index in range(arguments.adapters)]
    for index, name in enumerate(names):
        write_adapter(adapters / name, index)
    swap = adapters / "swap.d"
    write_adapter(swap / "a", 1_000_001)
    write_adapter(swap / "b", 1_000_002)
    (swap / "current").symlink_to(swap / "a")
    broken = make_broken(adapters / "broken.d", adapters / names[0])
    return {"adapters": adapters, "swap": swap, "broken": broken}, names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/serve/bin/slora"))
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--adapters", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--memory-over", type=int, default=256, help="MiB of address space above the idle server's; 0: no limit")
    parser.add_argument("--folder", help="where the adapters are made; a temporary folder that is deleted when absent")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.folder or tempfile.mkdtemp(prefix="soak"))
    arguments.log = str(folder / "server.log")
    try:
        folders, names = make_folders(arguments, folder)
        expected = quiet_answers(arguments, folders, names)
        server = Server(arguments, folders["adapters"])
        server.post("/v1/load_lora_adapter", {"lora_name": "swapped", "lora_path": str(folders["swap"] / "a")})
        before = server.status()
        if arguments.memory_over:
            server.limit_memory(arguments.memory_over)
        soak = Soak(arguments, server, names, expected, folders)
        samples = soak.run()
        died = server.process.poll() is not None
        pages = {} if died else (time.sleep(2), server.pages())[1]
        after = {} if died else server.status()
        exit_code = server.process.returncode if died else server.stop()
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    failed = died or bool(soak.wrong) or pages.get("sequence", 0) != 0 or exit_code != 0
    print(json.dumps({"minutes": arguments.minutes, "adapters": arguments.adapters, "counts": soak.counts, "wrong": soak.wrong,
                      "before": before, "after": after, "resident_mib_per_hour": slope_mib_per_hour(samples),
                      "pages": pages, "exit_code": exit_code, "died": died}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
