"""The server of hostile_clients.py and what its measurements share."""

import hashlib
import json
import pathlib
import socket
import subprocess
import threading
import time

from soak import ROOT, Server, body_of

EVENT_SECONDS = 60  # after which a stream without an event ends the run
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
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{key}Content-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def token_times(self, tokens, tenant=None, **fields):
        """Seconds from a request to the first event of its stream, and between the later ones."""
        with self.connect() as client:
            client.settimeout(EVENT_SECONDS)
            before = time.perf_counter()
            self.send_completion(client, tenant, stream=True, max_tokens=tokens, ignore_eos=True, **fields)
            times, seen, text = [], 0, b""
            while b"[DONE]" not in text:
                try:
                    more = client.recv(65536)
                except TimeoutError:
                    raise TimeoutError(f"a stream of {tenant or 'a client without a key'} had no event for {EVENT_SECONDS} s") from None
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


def tenants_server(program, folder):
    return HostServer(program, "--api-key-file", write_keys(folder, {"ann": ["demo", "spanish", "question"], "bob": ["demo"]}))


def write_keys(folder, models):
    """A file with the keys of TENANTS for these models of each tenant."""
    keys = [{"tenant": tenant, "models": names, "key_sha256": hashlib.sha256(TENANTS[tenant].encode()).hexdigest()}
            for tenant, names in models.items()]
    path = pathlib.Path(folder) / "keys.json"
    path.write_text(json.dumps({"keys": keys}))
    return path
