"""Runs deploy/ray/app.py on this machine: three replicas of the demo, of which a server and a replica are killed under load.

    python3 -m venv venv && venv/bin/pip install 'ray[serve]==2.60.0' httpx
    venv/bin/python deploy/ray/test_app.py build/cpu/bin/slora

Ends with code 1 when anything is not as expected.
"""

import asyncio
import collections
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # of the replicas
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import httpx  # noqa: E402
import ray  # noqa: E402
from ray import serve  # noqa: E402

from deploy.ray.app import build  # noqa: E402

REPLICAS = 3
ADAPTERS = ["pirate", "shout", "spanish", "yoda"]
SENTENCE = "Rosa painted a broken hat at the market."
WORKERS = 8
REQUESTS = 240


def children(parent_name: str) -> dict[int, int]:
    """Servers that replicas of this run started: process to parent."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            name = (Path("/proc") / str(parent) / "cmdline").read_bytes().decode()
        except (OSError, ValueError):
            continue
        if words[0].decode() == PROGRAM and parent_name in name:
            found[int(folder.name)] = parent
    return found


def port_of(process: int) -> int:
    sockets = {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir() if entry.is_symlink()}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].split(":")[1], 16)
    raise RuntimeError(f"expected process {process} to listen")


def expect(holds: bool, what: str) -> None:
    print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        FAILURES.append(what)


def chat(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": SENTENCE}], "temperature": 0, "max_tokens": 48} | more


async def texts_of_adapters(client: httpx.AsyncClient, adapters: list[str]) -> dict[str, str]:
    texts = {}
    for model in [*adapters, "demo"]:
        answer = await client.post("/v1/chat/completions", json=chat(model))
        expect(answer.status_code == 200, f"{model} answers")
        texts[model] = answer.json()["choices"][0]["message"]["content"]
    expect(texts["shout"] == "ROSA PAINTED A BROKEN HAT AT THE MARKET!", "shout does what it learned")
    return texts


async def check_affinity(client: httpx.AsyncClient, adapters: list[str]) -> None:
    for model in adapters:
        seen = [(await client.post("/v1/chat/completions", json=chat(model))).headers["x-slora-replica"] for _ in range(6)]
        expect(len(set(seen)) == 1, f"six requests for {model} went to one replica")


async def check_stream(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=chat("yoda", stream=True)) as answer:
        pieces = [piece async for piece in answer.aiter_text()]
    expect("".join(pieces).rstrip().endswith("data: [DONE]"), "a stream ends as slora ends it")
    expect(len(pieces) > 2, f"it came in pieces ({len(pieces)})")


async def check_load_with_kills(client: httpx.AsyncClient, texts: dict[str, str]) -> None:
    """Nothing may be lost: answers that are no streams begin when they are complete."""
    models = list(texts)
    outcomes: collections.Counter[str] = collections.Counter()
    replicas = set()
    left = iter(range(REQUESTS))
    killed: list[str] = []

    async def work() -> None:
        for index in left:
            model = models[index % len(models)]
            answer = await client.post("/v1/chat/completions", json=chat(model))
            right = answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == texts[model]
            outcomes["right" if right else f"status {answer.status_code}"] += 1
            replicas.add(answer.headers.get("x-slora-replica"))
            if index == REQUESTS // 4:
                killed.append(f"server {kill_one(server=True)}")
            if index == REQUESTS // 2:
                killed.append(f"replica {kill_one(server=False)}")

    begin = time.monotonic()
    await asyncio.gather(*[work() for _ in range(WORKERS)])
    seconds = time.monotonic() - begin
    print(f"killed: {', '.join(killed)}; outcomes: {dict(outcomes)}; replicas that answered: {len(replicas)}; {seconds:.0f} s")
    expect(len(killed) == 2, "a server and a replica were killed under load")
    expect(outcomes["right"] == REQUESTS, f"all {REQUESTS} answers are there and right")


def kill_one(server: bool) -> int:
    process, parent = next(iter(children("Slora").items()))
    os.kill(process if server else parent, signal.SIGKILL)
    return process if server else parent


async def wait_for_replicas() -> None:
    for _ in range(120):
        if len(children("Slora")) == REPLICAS:
            break
        await asyncio.sleep(1)
    expect(len(children("Slora")) == REPLICAS, f"{REPLICAS} servers run again")


async def check_cancel(client: httpx.AsyncClient) -> None:
    body = {"model": "shout", "prompt": "Hello", "max_tokens": 400, "ignore_eos": True, "stream": True, "temperature": 1}
    # More than can be answered in no time, so that some run when their client leaves.
    for _ in range(8):
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            await anext(answer.aiter_bytes())
    aborted = running = 0.0
    for _ in range(100):
        aborted = running = 0.0
        for process in children("Slora"):
            text = httpx.get(f"http://127.0.0.1:{port_of(process)}/metrics").text
            aborted += sum(float(line.split()[-1]) for line in text.splitlines() if 'finished_reason="abort"' in line)
            running += sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vllm:num_requests_running"))
        if aborted > 0 and running == 0:
            break
        await asyncio.sleep(0.2)
    count = f"{aborted:.0f} of 8 before their last token"
    expect(aborted > 0 and running == 0, f"streams whose clients left were ended in the servers ({count})")


async def check_refusals(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/load_lora_adapter", json={"lora_name": "x", "lora_path": "/x"})
    expect(answer.status_code == 404 and "one replica" in answer.text, "calls for one replica are refused")
    answer = await client.post("/v1/chat/completions", json=chat("nobody"))
    expect(answer.status_code == 404 and "nobody" in answer.text, "an unknown adapter is slora's own 404")
    answer = await client.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    expect(answer.status_code == 400, "a broken body is slora's own 400")


async def check(url: str) -> None:
    adapters = [name for name in ADAPTERS if (ROOT / "demo" / "adapters" / name).is_dir()]
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        texts = await texts_of_adapters(client, adapters)
        await check_affinity(client, adapters)
        await check_stream(client)
        await check_refusals(client)
        await check_cancel(client)
        await check_load_with_kills(client, texts)
        await wait_for_replicas()
        await check_stream(client)


def main() -> int:
    logging.getLogger("ray").setLevel(logging.WARNING)
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
    port = int(os.environ.get("PORT", "18431"))
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    arguments = f"serve {ROOT}/demo/model --served-model-name demo --adapters {ROOT}/demo/adapters --pool-memory 64MiB --threads 1"
    options = {"program": PROGRAM, "arguments": arguments, "num_cpus": "0.5", "min_replicas": str(REPLICAS), "max_replicas": str(REPLICAS)}
    begin = time.monotonic()
    serve.run(build(options), name="slora")
    print(f"{REPLICAS} replicas after {time.monotonic() - begin:.0f} s", flush=True)
    try:
        asyncio.run(check(f"http://127.0.0.1:{port}"))
    finally:
        serve.shutdown()
        left = children("Slora")
        ray.shutdown()
    expect(not left, "no server is left when Serve has shut down")
    print("FAILED" if FAILURES else "passed")
    return 1 if FAILURES else 0


PROGRAM = str(Path(sys.argv[1]).resolve()) if len(sys.argv) == 2 else ""
FAILURES: list[str] = []
if __name__ == "__main__":
    if not PROGRAM:
        sys.exit(f"usage: {sys.argv[0]} SLORA")
    sys.exit(main())
