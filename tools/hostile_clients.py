#!/usr/bin/env python3
"""Measures what hostile and slow clients do to the others: the figures of docs/trust.md that no test asserts.

usage: hostile_clients.py [--program build/cpu/bin/slora] [--minutes 10] [--count 500] [MEASUREMENT...]

Measurements, each on a demo server of its own; all of them without an argument, except `storm`:
  heads    2,000 connections that send a byte of a head every 5 s: others' time to the first token, quiet and next to them
  readers  200 streams whose clients read 10 bytes a second: others' times between tokens, against 200 that read at once
  bytes    4,300 connections that send one byte: whether 100 newcomers are answered
  flood    a tenant that asks for ten times what fits, for --flood-seconds each: time to a refusal, what becomes of clients that
           obey Retry-After, goodput, another tenant's first token, memory
  names    a tenant that names another's adapter, warm and cold, and names that do not exist: times of the answers
  prefixes a tenant that sends prompts that another has just sent, and prompts that nobody sent: times of the answers
  storm    loads of random adapters for --minutes with 256 MiB of address space more than the idle server has

noisy_clients.py measures what one tenant's load does to another. Needs only Python. Prints a line for each figure. Times
are of this machine and of whatever else runs on it: compare those of one line.
"""

import argparse
import bisect
import http.client
import json
import multiprocessing
import pathlib
import random
import resource
import selectors
import shutil
import tempfile
import threading
import time

from hostile_flood import measure_flood
from hostile_server import TENANTS, HostServer, first_tokens, quantile, shown, tenants_server
from soak import ROOT, body_of, write_adapter


def drip_heads(server, done):
    """2,000 connections that send a byte of a head every 5 s, for 12 s; then how many of them the server has not closed."""
    clients = [server.connect() for _ in range(2000)]
    begun, text = time.monotonic(), b"GET /health HTTP/1.1\r\nX: "
    for i in range(3):
        for client in clients:
            try:
                client.sendall(text[i:i + 1])
            except OSError:
                pass
        time.sleep(max(begun + min(5 * (i + 1), 12) - time.monotonic(), 0))
    open_count = 0
    for client in clients:
        client.setblocking(False)
        try:
            while client.recv(4096):
                pass
        except BlockingIOError:
            open_count += 1
        except OSError:
            pass
    done.put(open_count)


def measure_heads(arguments):
    with HostServer(arguments.program) as server:
        first_tokens(server, 50)
        quiet, loaded, open_count = [], [], 0
        for _ in range(3):
            quiet += first_tokens(server, 150)
            done = multiprocessing.Queue()
            slow = multiprocessing.Process(target=drip_heads, args=(server, done))  # this one must not wait for its interpreter
            slow.start()
            time.sleep(2)
            loaded += first_tokens(server, 150)
            open_count += done.get()
            slow.join()
        print(f"heads: first token alone: {shown(quiet)}; next to 2,000 slow heads: {shown(loaded)}")
        print(f"heads: {open_count} of 6,000 were open 12 s after they were opened")


def measure_readers(arguments):
    for name, pause in (("at once", 0), ("10 bytes a second", 1)):
        with HostServer(arguments.program) as server:
            stop = threading.Event()
            clients = [server.connect(4096) for _ in range(200)]

            def read_all():
                waiting = selectors.DefaultSelector()
                for client in clients:
                    client.setblocking(False)
                    waiting.register(client, selectors.EVENT_READ)
                while not stop.is_set():
                    for key, _ in waiting.select(0.1):
                        try:
                            if not key.fileobj.recv(10 if pause else 65536):
                                waiting.unregister(key.fileobj)
                        except BlockingIOError:
                            pass
                        except OSError:
                            waiting.unregister(key.fileobj)
                    if pause:
                        stop.wait(pause)

            for client in clients:
                server.send_completion(client, stream=True, max_tokens=400, ignore_eos=True)
            threading.Thread(target=read_all, daemon=True).start()
            gaps = [gap for _ in range(8) for gap in server.token_times(20)[1:]]
            stop.set()
            print(f"readers: between tokens of others, next to 200 streams read {name}: {shown(gaps)}")


def measure_bytes(arguments):
    with HostServer(arguments.program) as server:
        clients = []
        for _ in range(4300):
            clients.append(server.connect())
            clients[-1].sendall(b"G")
        answered, times = 0, []
        for _ in range(100):
            begun = time.perf_counter()
            answered += server.get("/v1/models")[0] == 200
            times.append(time.perf_counter() - begun)
        print(f"bytes: {answered} of 100 newcomers were answered: {shown(times)}")


class Tenant:
    """A connection with a tenant's key."""

    def __init__(self, server, tenant):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.headers = {"Content-Type": "application/json", "Authorization": "Bearer " + TENANTS[tenant]}

    def ask(self, body):
        text = json.dumps(body)
        begun = time.perf_counter()
        self.connection.request("POST", "/v1/completions", text, self.headers)
        reply = self.connection.getresponse()
        answer = reply.read()
        return time.perf_counter() - begun, reply.status, answer


def compare(first, second):
    """The area under the curve of the best threshold either way, and the p of Kolmogorov and Smirnov's test."""
    one, two = sorted(first), sorted(second)
    below = sum(bisect.bisect_left(two, t) + bisect.bisect_right(two, t) for t in one) / (2 * len(one) * len(two))
    distance = max(abs(bisect.bisect_right(one, t) / len(one) - bisect.bisect_right(two, t) / len(two)) for t in one + two)
    scaled = distance * (len(one) * len(two) / (len(one) + len(two))) ** 0.5
    p = 2 * sum((-1) ** (k - 1) * 2.718281828 ** (-2 * (k * scaled) ** 2) for k in range(1, 101))
    return max(below, 1 - below), min(max(p, 0), 1)


def measure_names(arguments):
    with tempfile.TemporaryDirectory() as folder, tenants_server(arguments.program, folder) as server:
        ann, bob = Tenant(server, "ann"), Tenant(server, "bob")
        if ann.ask(body_of("spanish", "Hello"))[1] != 200:  # "question" stays cold
            raise SystemExit("the other tenant's adapter does not answer")
        times = {"spanish": [], "question": [], "nothing": [], "nobodys": []}  # two of each length
        for _ in range(2000):
            for name in random.sample(list(times), len(times)):
                took, status, _ = bob.ask(body_of(name, "Hello"))
                if status != 404:
                    raise SystemExit(f"{name}: status {status}")
                times[name].append(took)
        for name, other in (("spanish", "nothing"), ("question", "nothing"), ("nobodys", "nothing")):
            area, p = compare(times[name], times[other])
            difference = quantile(times[name], 0.5) - quantile(times[other], 0.5)
            print(f"names: {name} against {other}: medians differ by {difference * 1e6:+.1f} us, AUC {area:.3f}, KS p {p:.3f}")


def measure_prefixes(arguments):
    with tempfile.TemporaryDirectory() as folder, tenants_server(arguments.program, folder) as server:
        ann, bob = Tenant(server, "ann"), Tenant(server, "bob")
        draw = random.Random(1)
        primed, fresh, own = [], [], []
        for _ in range(arguments.count):
            prompts = [[draw.randrange(100, 1000) for _ in range(200)] for _ in range(2)]
            ann.ask({"model": "demo", "prompt": prompts[0], "max_tokens": 1})
            probes = [(primed, prompts[0]), (fresh, prompts[1])]
            draw.shuffle(probes)
            for times, prompt in probes:
                took, status, answer = bob.ask({"model": "demo", "prompt": prompt, "max_tokens": 1})
                if status != 200:
                    raise SystemExit(answer)
                times.append(took)
            own.append(ann.ask({"model": "demo", "prompt": prompts[0], "max_tokens": 1})[0])
        area, p = compare(primed, fresh)
        print(f"prefixes: of another tenant against fresh ones: AUC {area:.3f}, KS p {p:.3f}; {shown(primed)} and {shown(fresh)}")
        print(f"prefixes: one's own: {shown(own)}")


def measure_storm(arguments):
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        for i in range(300):
            write_adapter(folder / f"a{i}", i, rank=8)
        with HostServer(arguments.program, adapters=folder) as server:
            server.post("/v1/completions", body_of("demo", "Hello"))
            server.limit_memory(256)
            statuses, end, lock = {}, time.monotonic() + 60 * arguments.minutes, threading.Lock()

            def ask(seed):
                draw = random.Random(seed)
                while time.monotonic() < end:
                    prompt = "word " * draw.choice([1, 10, 40])
                    try:
                        body = body_of(f"a{draw.randrange(300)}", prompt, n=draw.choice([1, 4]))
                        status, answer = server.post("/v1/completions", body)[:2]
                        if status != 200:
                            status = f"{status} {json.loads(answer)['error']['code']}"
                    except OSError as failure:
                        status = type(failure).__name__
                    with lock:
                        statuses[status] = statuses.get(status, 0) + 1
                    time.sleep(arguments.pause)

            threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            last = server.post("/v1/completions", body_of("demo", "Hello"))[0]
            print(f"storm: {arguments.minutes:g} min of loads with 256 MiB more than idle: {statuses}; then {last}, {server.status()}")
    finally:
        shutil.rmtree(folder)


MEASUREMENTS = {"heads": measure_heads, "readers": measure_readers, "bytes": measure_bytes, "flood": measure_flood,
                "names": measure_names, "prefixes": measure_prefixes, "storm": measure_storm}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/cpu/bin/slora"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--count", type=int, default=500, help="prompts of each kind that are compared")
    parser.add_argument("--flood-seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0, help="seconds that a client of the storm waits between requests")
    parser.add_argument("measurements", nargs="*", choices=[[], *MEASUREMENTS], metavar="MEASUREMENT")
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for name in arguments.measurements or [name for name in MEASUREMENTS if name != "storm"]:
        MEASUREMENTS[name](arguments)


if __name__ == "__main__":
    main()
