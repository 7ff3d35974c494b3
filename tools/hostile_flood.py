"""What a tenant that asks for ten times what the server can do gets, and what it does to others: hostile_clients.py flood."""

import collections
import json
import multiprocessing
import queue
import selectors
import socket
import tempfile
import time

from hostile_server import TENANTS, first_tokens, quantile, shown, tenants_server
from soak import body_of

CHOICES, TOKENS = 8, 25  # of a request of the flood
CLIENTS = 200  # that flood: many more than find a place
BURST = 640  # clients that come together: ten times what the queue takes of a tenant
PAUSE = 0.2  # seconds that a client waits which does not obey Retry-After
REPLY_SECONDS = 60  # after which a client without a reply ends the run


def request_bytes(method, path, tenant, body=None):
    text = json.dumps(body).encode() if body else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TENANTS[tenant]}\r\n"
    return (head + f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n").encode() + text


def flood_request():
    body = body_of("demo", "Hello", max_tokens=TOKENS, n=CHOICES, temperature=1, ignore_eos=True)
    return request_bytes("POST", "/v1/completions", "ann", body)


class Reply:
    """What has come of one reply: its status and headers once there are any, and whether it is whole."""

    def __init__(self):
        self.bytes, self.status, self.headers = b"", None, {}

    def add(self, more):
        """Whether the reply is whole now."""
        self.bytes += more
        if self.status is None:
            head, found, _ = self.bytes.partition(b"\r\n\r\n")
            if not found:
                return False
            lines = head.decode().split("\r\n")
            self.status = int(lines[0].split()[1])
            self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
            self.bytes = self.bytes[len(head) + 4:]
        return len(self.bytes) >= int(self.headers["content-length"])


class Client:
    """A connection that asks again and again: after Retry-After, or soon."""

    def __init__(self, name, port, obeys):
        self.name, self.port, self.socket = name, port, None
        self.obeys, self.ask_at, self.waited, self.begun, self.reply = obeys, 0, None, None, None

    def ask(self, request):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=REPLY_SECONDS)
        self.socket.sendall(request)
        self.begun, self.reply, self.ask_at = time.perf_counter(), Reply(), None

    def check_wait(self, now):
        if self.ask_at is None and self.reply is not None and now - self.begun > REPLY_SECONDS:
            raise TimeoutError(f"{self.name} got no reply within {REPLY_SECONDS} s")

    def receive(self):
        """Waits for a whole reply."""
        while True:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError(f"the server closed the connection of {self.name} before its reply was whole")
            if self.reply.add(more):
                return


def report_to(results, work, *arguments):
    try:
        results.put(work(*arguments))
    except Exception as failure:  # for the process that waits for the result
        results.put(failure)


class Worker:
    """A process that does some work; result() is what it returned, and raises what it raised."""

    def __init__(self, work, *arguments):
        self.results = multiprocessing.Queue()
        self.process = multiprocessing.Process(target=report_to, args=(self.results, work, *arguments), name=work.__name__, daemon=True)
        self.process.start()

    def result(self, seconds):
        try:
            found = self.results.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"{self.process.name} had no result after {seconds:.0f} s") from None
        self.process.join()
        if isinstance(found, Exception):
            raise found
        return found


def run_clients(port, counts, seconds, once=False):
    """Clients of which counts[0] do not obey and counts[1] do, in one process without threads; `once`: until each has its answer."""
    clients = [Client(f"client {i + 1} of {sum(counts)}", port, i >= counts[0]) for i in range(sum(counts))]
    request, waiting = flood_request(), selectors.DefaultSelector()
    begun, seen = time.perf_counter(), {"refused": [], "retries": collections.Counter(), "done": []}
    while (now := time.perf_counter()) < begun + seconds and not (once and len(seen["done"]) == len(clients)):
        for client in clients:
            if client.ask_at is not None and client.ask_at <= now:
                is_new = client.socket is None
                client.ask(request)
                if is_new:
                    waiting.register(client.socket, selectors.EVENT_READ, client)
            elif client.reply is not None:
                client.check_wait(now)
        for key, _ in waiting.select(0.005):
            client = key.data
            more = client.socket.recv(65536)
            if not more:  # the server closes connections that are idle for long
                if client.ask_at is None and client.reply is not None:
                    raise ConnectionError(f"the server closed the connection of {client.name} before its reply was whole")
                waiting.unregister(client.socket)
                client.socket.close()
                client.socket = None
                continue
            if not client.reply.add(more):
                continue
            now, reply, client.reply = time.perf_counter(), client.reply, None
            if client.waited is not None:
                seen["retries"][(client.obeys, reply.status == 200)] += 1
            client.waited = None
            if reply.status == 200:
                seen["done"].append(now - begun)
                client.ask_at = None if once else now
            elif reply.status in (429, 503):
                client.waited = int(reply.headers["retry-after"])
                seen["refused"].append((now - begun, client.waited))
                client.ask_at = now + (client.waited if client.obeys else PAUSE)
            else:
                raise ValueError(f"status {reply.status}: {reply.bytes[:200]}")
    if once and len(seen["done"]) < len(clients):
        unanswered = next(client.name for client in clients if client.ask_at is not None or client.reply is not None)
        lost = len(clients) - len(seen["done"])
        raise TimeoutError(f"{lost} clients, the first of them {unanswered}, had no answer after {seconds:.0f} s")
    for client in clients:  # a refusal would have come by now
        if client.reply is not None and client.ask_at is None and client.waited is not None and now - client.begun > 1:
            seen["retries"][(client.obeys, True)] += 1
    return seen


def run_probe(port, seconds):
    """One connection of the flooding tenant: seconds to a refusal, and to /health on another connection in between."""
    refusal, request = [], flood_request()
    health, health_request = [], request_bytes("GET", "/health", "ann")
    probe, other = Client("the probe", port, False), Client("the probe of /health", port, False)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        probe.ask(request)
        probe.socket.settimeout(1)
        try:
            probe.receive()
            if probe.reply.status in (429, 503):
                refusal.append(time.perf_counter() - probe.begun)
        except TimeoutError:  # it was accepted: its place is given back
            probe.socket.close()
            probe.socket = None
        other.ask(health_request)
        try:
            other.receive()
        except TimeoutError:
            raise TimeoutError(f"{other.name} got no reply within {REPLY_SECONDS} s") from None
        if other.reply.status != 200:
            raise ValueError(f"/health: expected status 200, found {other.reply.status}")
        health.append(time.perf_counter() - other.begun)
        time.sleep(0.05)
    return refusal, health


def flood(server, counts, seconds):
    """(what the clients saw, the probe's times, others' first tokens and how many were refused) of one flood."""
    clients = Worker(run_clients, server.port, counts, seconds)
    time.sleep(min(5, seconds / 4))
    probe = Worker(run_probe, server.port, seconds * 0.6)
    others, refused, end = [], 0, time.monotonic() + seconds * 0.6
    while time.monotonic() < end:
        try:
            others += first_tokens(server, 1, "bob")
        except ConnectionError:
            refused += 1
        time.sleep(0.5)
    limit = seconds + 2 * REPLY_SECONDS
    return clients.result(limit), probe.result(limit), others, refused


def goodput(seen, seconds):
    """Tokens a second of the answers that were completed after the first third of the time."""
    begun = seconds / 3
    return sum(at > begun for at in seen["done"]) * CHOICES * TOKENS / (seconds - begun)


def measure_burst(server, capacity):
    needed = BURST * CHOICES * TOKENS / capacity
    seen = Worker(run_clients, server.port, (0, BURST), 5 * needed, True).result(5 * needed + 2 * REPLY_SECONDS)
    took, lost = seen["retries"][(True, True)], seen["retries"][(True, False)]
    print(f"flood: {BURST} clients at once that obey: {len(seen['done'])} answered, the last after {max(seen['done']):.0f} s, of which "
          f"{needed:.0f} are work; of {took + lost} retries after Retry-After {took / max(took + lost, 1):.0%} were accepted")


def seconds_to_normal(server, alone):
    """From now until the flooding tenant's own first token comes in twice the time that it takes alone."""
    begun = time.monotonic()
    while time.monotonic() < begun + 60:
        try:
            if first_tokens(server, 1, "ann")[0] <= 2 * alone:
                break
        except ConnectionError:
            time.sleep(0.1)
    return time.monotonic() - begun


def measure_flood(arguments):
    seconds = arguments.flood_seconds
    with tempfile.TemporaryDirectory() as folder, tenants_server(arguments.program, folder) as server:
        alone = first_tokens(server, 100, "bob")
        full, _, _, _ = flood(server, (24, 0), seconds)
        capacity = goodput(full, seconds)
        print(f"flood: 24 clients without a refusal ({len(full['refused'])}): {capacity:.0f} tokens/s")
        measure_burst(server, capacity)
        for name, counts in ((f"{CLIENTS} clients that ask again after {PAUSE} s and 10 that obey", (CLIENTS, 10)),
                             (f"{CLIENTS} clients that obey and ask again at once when they are answered", (0, CLIENTS))):
            before = server.status()["resident_kib"]
            seen, (refusal, health), others, refused = flood(server, counts, seconds)
            normal = seconds_to_normal(server, quantile(alone, 0.5))
            print(f"flood: {name}: {len(seen['refused'])} refusals; goodput {goodput(seen, seconds) / capacity:.0%} of capacity")
            if refusal:
                print(f"flood:   a refusal takes {shown(refusal)}; /health {shown(health)}")
            by_time = [sorted(after for at, after in seen["refused"] if int(at / seconds * 6) == part) for part in range(6)]
            spans = [f"{given[0]}-{given[len(given) // 2]}-{given[-1]}" for given in by_time if given]
            print("flood:   Retry-After in each sixth:", *spans)
            took, lost = seen["retries"][(True, True)], seen["retries"][(True, False)]
            print(f"flood:   of {took + lost} retries after Retry-After {took / max(took + lost, 1):.0%} were accepted")
            print(f"flood:   another tenant's first token alone: {shown(alone)}; next to it: {shown(others)}; {refused} refused")
            after = server.status()["resident_kib"]
            print(f"flood:   normal after {normal:.1f} s; resident {before >> 10} MiB before, {after >> 10} after")
