"""The engine as LLM, AsyncLLM and SLoRAServer share it: options, adapters, request bodies and counts."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import re
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from slora import _slora
from slora.errors import LoadError, SloraError
from slora.lora.request import LoRARequest
from slora.outputs import RequestMetrics, RequestOutput
from slora.sampling_params import SamplingParams

AdapterChoice = Union[None, str, LoRARequest]
# A text, token ids (a list or an array), or a dict of "prompt" or "prompt_token_ids" with one of these.
Prompt = Any
Messages = Sequence[Mapping[str, Any]]
LoraModules = Union[Mapping[str, str], Iterable[Union[str, Mapping[str, str], LoRARequest]]]

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_POLICIES = {"fcfs": "fair-share"}  # vLLM's names of what slora calls otherwise


def bytes_of(size: Union[int, str], name: str, unit: int = 1) -> int:
    """"2GiB", "2G", "2GB" (of 1000s), or a number of `unit` bytes."""
    if isinstance(size, int):
        return size * unit
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(i?)(B?)", size.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f'{name}: expected a size such as "4GiB", found {size!r}')
    number, letter, binary, is_bytes = found.groups()
    factor = _UNITS[letter.upper()]
    if letter and is_bytes and not binary:
        factor = 1000 ** " KMGT".index(letter.upper())
    return int(float(number) * factor)


def is_token_ids(value: Any) -> bool:
    if hasattr(value, "tolist") and hasattr(value, "ndim"):
        return bool(value.ndim == 1)
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(token, int) for token in value)


def token_list(value: Any) -> list[int]:
    """Token ids as a list, from a list or from an array of numpy or torch."""
    return [int(token) for token in (value.tolist() if hasattr(value, "tolist") else value)]


class Engine:
    """Closed by close(), when nothing refers to it any more, and when the interpreter ends."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        adapters: Union[None, str, Sequence[str]] = None,
        lora_modules: Optional[LoraModules] = None,
        weights: str = "bf16",
        pool_memory: Union[None, int, str] = None,
        max_model_len: Optional[int] = None,
        max_num_seqs: Optional[int] = None,
        threads: int = 0,
        chat_template: Optional[str] = None,
        scheduling_policy: str = "fair-share",
    ) -> None:
        model = os.fspath(model)
        if not os.path.isdir(model):
            raise LoadError(
                f"model: expected a folder with a model, found {model!r}; a model of the hub is downloaded by "
                f"`hf download {model} --local-dir DIR`",
                "bad_option",
                "model",
            )
        arguments = _slora.EngineArguments()
        arguments.model = model
        arguments.device = device
        arguments.weights = weights
        arguments.policy = _POLICIES.get(scheduling_policy, scheduling_policy)
        arguments.adapter_folders = [adapters] if isinstance(adapters, str) else [os.fspath(folder) for folder in adapters or []]
        arguments.named_adapters = [_named(module) for module in _modules(lora_modules)]
        arguments.pool_bytes = None if pool_memory is None else bytes_of(pool_memory, "pool_memory")
        arguments.max_model_len = max_model_len
        arguments.running_max = max_num_seqs
        arguments.threads = threads
        arguments.chat_template = chat_template
        try:
            self.native = _slora.Engine(arguments)
        except SloraError as error:
            message = str(error)
            if device == "cuda":
                message += '; device="cpu" works on this machine'
            raise LoadError(message, error.code, error.param) from None
        self._keys = itertools.count(1)
        self._lock = threading.Lock()
        self._folders: dict[str, str] = {}  # of adapters that a LoRARequest registered or named
        self._count = Counts()
        _engines.add(self)

    def close(self) -> None:
        self.native.close()

    # Adapters.

    def add_adapter(self, name: str, folder: str) -> None:
        self.native.add_adapter(name, os.fspath(folder))

    def remove_adapter(self, name: str) -> None:
        self.native.remove_adapter(name)
        with self._lock:
            self._folders.pop(name, None)

    def is_registered(self, adapter: AdapterChoice) -> bool:
        """Whether model_of() reads no file."""
        return not isinstance(adapter, LoRARequest) or not adapter.lora_path or adapter.lora_name in self._folders

    def model_of(self, adapter: AdapterChoice) -> str:
        """The name of an adapter, which is registered when that is still to be done; empty for the base."""
        if adapter is None or isinstance(adapter, str):
            return adapter or ""
        if not isinstance(adapter, LoRARequest):
            raise TypeError(f"lora_request: expected None, a name or a LoRARequest, found {type(adapter).__name__}")
        if not adapter.lora_path:
            return adapter.lora_name
        with self._lock:
            folder = self._folders.get(adapter.lora_name)
            if folder is None:
                listed = {one.name: one.folder for one in self.native.adapters()}
                folder = listed.get(adapter.lora_name)
                if folder is None:
                    folder = os.fspath(adapter.lora_path)
                    self.native.add_adapter(adapter.lora_name, folder)
                self._folders[adapter.lora_name] = folder
        if folder != adapter.lora_path and os.path.realpath(folder) != os.path.realpath(adapter.lora_path):
            raise ValueError(
                f"lora_request: the name {adapter.lora_name!r} means the adapter in {folder!r}, found {adapter.lora_path!r}"
            )
        return adapter.lora_name

    # Requests.

    def next_key(self) -> int:
        return next(self._keys)

    def completion(self, prompt: Prompt, params: Optional[SamplingParams], adapter: AdapterChoice, priority: int) -> Request:
        """Reads an adapter's folder when it is new."""
        given: Any = prompt
        if isinstance(prompt, Mapping):
            given = prompt.get("prompt_token_ids")
            if given is None:
                given = prompt.get("prompt")
        text: Optional[str] = given if isinstance(given, str) else None
        if text is None and not is_token_ids(given):
            raise TypeError(
                f'prompt: expected a text, token ids, or a dict with "prompt" or "prompt_token_ids", found {type(prompt).__name__}'
            )
        model = self.model_of(adapter)
        body: dict[str, Any] = {} if params is None else params.fields()
        if params is not None and params.max_tokens is None:
            given = self.native.encode(text, model, True) if text is not None else token_list(given)
            body["max_tokens"] = max(self.native.output_tokens_that_fit(len(given), model), 1)
        body["prompt"] = given if isinstance(given, str) else token_list(given)
        return self._request("completions", body, model, adapter, priority, text)

    def chat(
        self, messages: Messages, params: Optional[SamplingParams], adapter: AdapterChoice, priority: int, options: Mapping[str, Any]
    ) -> Request:
        body: dict[str, Any] = {} if params is None else params.fields(chat=True)
        body.update({name: value for name, value in options.items() if value is not None})
        body["messages"] = list(messages)
        return self._request("chat", body, self.model_of(adapter), adapter, priority, None)

    def _request(
        self, endpoint: str, body: dict[str, Any], model: str, adapter: AdapterChoice, priority: int, text: Optional[str]
    ) -> Request:
        if model:
            body["model"] = model
        if priority:
            body["priority"] = priority
        key = self.next_key()
        lora = LoRARequest(adapter) if isinstance(adapter, str) and adapter else adapter
        output = RequestOutput(
            str(key), prompt=text, lora_request=lora if isinstance(lora, LoRARequest) else None, metrics=RequestMetrics(time.monotonic())
        )
        return Request(key, endpoint, json.dumps(body), output)

    def submit(self, request: Request, queue: _slora.AnswerQueue, in_parts: bool) -> None:
        self.native.submit(request.key, request.endpoint, request.body, queue, in_parts)
        self._count.begin()

    def cancel(self, request: Request) -> None:
        self.native.cancel(request.key)
        self._count.end(None)

    def finish(self, request: Request) -> None:
        """Counts a request whose last update has come."""
        self._count.end(request.output)

    def run(self, requests: Sequence[Request], in_flight_max: int, progress: Optional[Any] = None) -> list[RequestOutput]:
        """Answers them all, in their order. The first error, and Ctrl-C, cancel the others."""
        queue = _slora.AnswerQueue()
        running: dict[int, Request] = {}
        left = iter(requests)
        try:
            for request in itertools.islice(left, in_flight_max):
                self.submit(request, queue, False)
                running[request.key] = request
            while running:
                for update in queue.wait(0.05):  # signals are handled in between
                    request = running[update.request]
                    request.output.apply(update)
                    if not update.is_last:
                        continue
                    del running[update.request]
                    self.finish(request)
                    update.raise_error()
                    if progress is not None:
                        progress.update(1)
                    for following in itertools.islice(left, 1):
                        self.submit(following, queue, False)
                        running[following.key] = following
        except BaseException:
            queue.close()
            for request in running.values():
                self.cancel(request)
            raise
        return [request.output for request in requests]

    def metrics(self) -> dict[str, float]:
        stats = self.native.stats()
        return {
            **self._count.metrics(),
            "memory_usage": stats.pool_bytes_used,
            "adapter_hit_rate": stats.adapter_hits / stats.adapter_queries if stats.adapter_queries else 0.0,
        }


class Request:
    """One request on its way, and its answer so far."""

    def __init__(self, key: int, endpoint: str, body: str, output: RequestOutput) -> None:
        self.key = key
        self.endpoint = endpoint
        self.body = body
        self.output = output


class Counts:
    """What an engine has done. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._busy_since = 0.0
        self._busy_seconds = 0.0
        self._served = 0
        self._latency_seconds = 0.0
        self._output_tokens = 0

    def begin(self) -> None:
        with self._lock:
            if self._running == 0:
                self._busy_since = time.monotonic()
            self._running += 1

    def end(self, output: Optional[RequestOutput]) -> None:
        """`output` is None for what was cancelled."""
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._busy_seconds += time.monotonic() - self._busy_since
            if output is None or not output.outputs or output.metrics is None or output.metrics.finished_time is None:
                return
            self._served += 1
            self._latency_seconds += output.metrics.finished_time - output.metrics.arrival_time
            self._output_tokens += sum(len(one.token_ids) for one in output.outputs)

    def metrics(self) -> dict[str, float]:
        with self._lock:
            busy = self._busy_seconds + (time.monotonic() - self._busy_since if self._running else 0.0)
            return {
                "requests_served": self._served,
                "average_latency": self._latency_seconds / self._served if self._served else 0.0,
                "throughput": self._output_tokens / busy if busy else 0.0,
            }


def _modules(modules: Optional[LoraModules]) -> Iterable[Any]:
    if isinstance(modules, Mapping):
        return modules.items()
    return modules or []


def _named(module: Any) -> tuple[str, str]:
    """Name and folder of "name=folder", of vLLM's {"name", "path"}, of a pair, or of a LoRARequest."""
    if isinstance(module, LoRARequest):
        return module.lora_name, module.lora_path
    if isinstance(module, str) and "=" in module:
        name, folder = module.split("=", 1)
        return name, folder
    if isinstance(module, Mapping) and "name" in module and "path" in module:
        return module["name"], module["path"]
    if isinstance(module, tuple) and len(module) == 2:
        return module[0], os.fspath(module[1])
    raise ValueError(f'lora_modules: expected "name=folder" or a dict with "name" and "path", found {module!r}')


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for engine in list(_engines):
        engine.close()
