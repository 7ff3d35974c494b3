#!/usr/bin/env python3
"""Measures what hostile and slow clients do to the others: the figures of docs/trust.md that no test asserts.

usage: hostile_clients.py [--program build/cpu/bin/slora] [--minutes 10] [--count 500] [MEASUREMENT...]

Measurements, each on a demo server of its own; all of them without an argument, except `storm`:
  heads    2,000 connections that send a byte of a head every 5 s: others' time to the first token, quiet and beside them
  readers  200 streams whose clients read 10 bytes a second: others' times between tokens, against 200 that read at once
  bytes    4,300 connections that send one byte: whether 100 newcomers are answered
  flood    a tenant that asks for ten times what fits: Retry-After, time to a refusal, another tenant's first token
  names    a tenant that names another's adapter, warm and cold, and names that do not exist: times of the answers
  prefixes a tenant that sends prompts that another has just sent, and prompts that nobody sent: times of the answers
  storm    loads of random adapters for --minutes with 256 MiB of address space more than the idle server has

noisy_clients.py measures what one tenant's load does to another. Needs only Python. Prints a line for each figure. Times
are of this machine and of whatever else runs on it: compare those of one line.
"""

import argparse
import bisect
import hashlib
import http.client
import json
import multiprocessing
import pathlib
import random
import resource
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from soak import ROOT, Server, body_of, write_adapter

TENANTS = {"ann": "key-of-ann", "bob": "key-of-bob"}


class HostServer(Server):
    """A demo server with these further arguments."""

    def __init__(self, program, *more, adapters=ROOT / "demo/adapters", model=ROOT / "demo/model"):
        command = [program, "serve", "--model", str(model), "--served-model-name", "demo", "--adapters", str(adapters),
                   "--port", "0", "--pool-memory", "64MiB", *map(str, more)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = next((int(line.rsplit(":", 1)[1]) for line in self.process.stdout if line.startswith("listening on")), None)
        if self.port is None:
            raise SystemExit("the server did not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self, receive_bytes=0):
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(("127.0.0.1", self.port))
        return client

    def send_completion(self, client, tenant=None, **fields):
        body = json.dumps({**body_of("demo", "Hello"), **fields}).encode()
        key = f"Authorization: Bearer {TENANTS[tenant]}\r\n" if tenant else ""
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{key}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)

    def token_times(self, tokens, tenant=None, **fields):
        """Seconds from a request to the first event of its stream, and between the later ones."""
        with self.connect() as client:
            client.settimeout(60)
            before = time.perf_counter()
            self.send_completion(client, tenant, stream=True, max_tokens=tokens, ignore_eos=True, **fields)
            times, seen, text = [], 0, b""
            while b"[DONE]" not in text:
                more = client.recv(65536)
                if not more:
                    raise ConnectionError(text[:200])
                text += more
                now = time.perf_counter()
                if text.count(b"data: {") > seen:
                    seen = text.count(b"data: {")
                    times.append(now - before)
                    before = now
            return times


def quantile(times, part):
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def shown(times):
    return f"median {quantile(times, 0.5) * 1e3:.2f} ms, p99 {quantile(times, 0.99) * 1e3:.2f} ms of {len(times)}"


def first_tokens(server, count, tenant=None):
    return [server.token_times(2, tenant)[0] for _ in range(count)]


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
        quiet, beside, open_count = [], [], 0
        for _ in range(3):
            quiet += first_tokens(server, 150)
            done = multiprocessing.Queue()
            slow = multiprocessing.Process(target=drip_heads, args=(server, done))  # this one must not wait for its interpreter
            slow.start()
            time.sleep(2)
            beside += first_tokens(server, 150)
            open_count += done.get()
            slow.join()
        print(f"heads: first token alone: {shown(quiet)}; beside 2,000 slow heads: {shown(beside)}")
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
            print(f"readers: between tokens of others, beside 200 streams read {name}: {shown(gaps)}")


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


def measure_flood(arguments):
    with tempfile.TemporaryDirectory() as folder, tenants_server(arguments.program, folder) as server:
        alone = first_tokens(server, 100, "bob")
        retries, refusals, stop = [], [], threading.Event()

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
            headers = {"Content-Type": "application/json", "Authorization": "Bearer " + TENANTS["ann"]}
            body = json.dumps(body_of("demo", "Hello", max_tokens=200, n=8, temperature=1, ignore_eos=True))
            while not stop.is_set():
                begun = time.perf_counter()
                connection.request("POST", "/v1/completions", body, headers)
                try:
                    reply = connection.getresponse()
                    reply.read()
                except OSError:  # the measurement is over
                    return
                if reply.status in (429, 503):
                    retries.append((time.monotonic() - flood, int(reply.headers["Retry-After"])))
                    refusals.append(time.perf_counter() - begun)
                    time.sleep(0.2)

        flood = time.monotonic()
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(200)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        beside, refused = [], 0
        while len(beside) < 30 and time.monotonic() < flood + 15:
            try:
                beside += first_tokens(server, 1, "bob")
            except ConnectionError:  # refused
                refused += 1
                time.sleep(0.2)
        time.sleep(max(flood + 15 - time.monotonic(), 0))
        stop.set()
        first = retries[0][0]
        by_second = [[seconds for at, seconds in retries if int(at - first) == second] for second in range(15)]
        print("flood: Retry-After by seconds since the first:", *(f"{min(given)}-{max(given)}" for given in by_second if given))
        print(f"flood: a refusal takes {shown(refusals)}")
        if beside:
            print(f"flood: another tenant's first token alone: {shown(alone)}; beside it: {shown(beside)}; {refused} refused")
        begun = time.monotonic()
        for thread in threads:
            thread.join()
        print(f"flood: the last request of the flood ended {time.monotonic() - begun:.0f} s after its end")


def tenants_server(program, folder):
    return HostServer(program, "--api-key-file", write_keys(folder, {"ann": ["demo", "spanish", "question"], "bob": ["demo"]}))


def write_keys(folder, models):
    """A file with the keys of TENANTS for these models of each tenant."""
    keys = [{"tenant": tenant, "models": names, "key_sha256": hashlib.sha256(TENANTS[tenant].encode()).hexdigest()}
            for tenant, names in models.items()]
    path = pathlib.Path(folder) / "keys.json"
    path.write_text(json.dumps({"keys": keys}))
    return path


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
    parser.add_argument("--pause", type=float, default=0, help="seconds that a client of the storm waits between requests")
    parser.add_argument("measurements", nargs="*", choices=[[], *MEASUREMENTS], metavar="MEASUREMENT")
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for name in arguments.measurements or [name for name in MEASUREMENTS if name != "storm"]:
        MEASUREMENTS[name](arguments)


if __name__ == "__main__":
    main()
