"""The server that page_test.py looks at."""

import atexit
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request


class Server:
    """`slora serve` of the demo model over a folder of adapters of its own."""

    def __init__(self, program, root, *arguments, port=0):
        self.folder = tempfile.TemporaryDirectory()
        for name in ["pirate", "shout"]:
            shutil.copytree(f"{root}/demo/adapters/{name}", f"{self.folder.name}/{name}")
        os.mkdir(f"{self.folder.name}/torn")
        with open(f"{self.folder.name}/torn/adapter_config.json", "w", encoding="utf-8") as config:
            json.dump({"peft_type": "PREFIX_TUNING"}, config)
        command = [program, "serve", "--model", f"{root}/demo/model", "--served-model-name", "demo", "--adapters", self.folder.name,
                   "--pool-memory", "64MiB", "--port", str(port), "--threads", "1", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        atexit.register(self.end)
        for line in self.process.stdout:
            if found := re.match(r"listening on (http://\S+:(\d+))", line):
                self.url, self.port = found[1], int(found[2])
                return
        raise RuntimeError("the server did not start")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def state(self):
        with urllib.request.urlopen(f"{self.url}/slora/state") as answer:
            return json.load(answer)
