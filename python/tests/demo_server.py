"""`slora serve` over the demo, as a child."""

import json
import subprocess
import urllib.request

from conftest import ADAPTERS, MODEL, POOL, PROGRAM


class DemoServer:
    def __enter__(self):
        arguments = ["serve", "--model", MODEL, "--adapters", ADAPTERS, "--port", "0", "--pool-memory", POOL]
        self._process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
        for line in self._process.stdout:
            if line.startswith("listening on "):
                self._url = line.split()[-1]
                return self
        raise RuntimeError(f"slora serve ended with {self._process.wait()}")

    def post(self, path, body):
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
