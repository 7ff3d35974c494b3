"""slora behind Ray Serve: replicas that scale with their queue, and requests that go where their adapter is.

    SLORA_ARGUMENTS="serve models/llama --adapters adapters" serve run deploy.ray.app:app

Each replica of `Slora` runs one `slora serve` as a child on a loopback port. The ingress reads the `model` of a
request's body and passes it as Ray's multiplexed model id, so that an adapter's requests go to a replica that has
served it before; slora itself decides what it loads and keeps. Requests for the base model have no id and spread.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import subprocess
import threading
from typing import Any, AsyncIterator

import httpx
from ray import serve
from ray.exceptions import RayError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

log = logging.getLogger("ray.serve")

START_SECONDS = 600
CONNECT_SECONDS = 5
BODY_BYTES_MAX = 64 << 20
# A replica that died takes a moment to leave the router's list.
TRIES_MAX = 6
TRY_PAUSE_SECONDS = 0.5
# Another replica may answer these: nothing of the answer was sent yet. 500 is an answer of the model's own.
RETRIED = {502, 503, 504}
ONE_REPLICA_PATHS = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/slora/", "/metrics")
HOP_HEADERS = {"connection", "content-length", "keep-alive", "transfer-encoding", "date"}


class ReplicaFailed(Exception):
    """The child can't answer this request; another replica may."""


def _end_with_parent() -> None:
    # Linux only: a replica that is killed takes its server with it. PR_SET_PDEATHSIG is 1.
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Child:
    """One `slora serve` on a free port of the loopback."""

    def __init__(self, arguments: list[str]) -> None:
        command = [*arguments, "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_end_with_parent)
        timer = threading.Timer(START_SECONDS, self._process.kill)
        timer.start()
        try:
            self.url = self._read_url()
        finally:
            timer.cancel()
        self._is_stopping = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _read_url(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            log.info("slora: %s", line.rstrip())
            if line.startswith("listening on "):
                return line.split()[-1]
        raise RuntimeError(f"slora ended with code {self._process.wait()} before it listened: look at its standard error")

    def _watch(self) -> None:
        """Reads on, since a full pipe would stop the child, and ends the replica with it: one that fails at once looks
        idle to the router, and would get every request until its health checks have failed."""
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass
        code = self._process.wait()
        if not self._is_stopping:
            log.error("slora ended with code %d: this replica ends too", code)
            os._exit(1)

    def stop(self) -> None:
        self._is_stopping = True
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=35)
        self._process.kill()


@serve.deployment
class Slora:
    """A replica: one server, and the adapters that its requests named."""

    def __init__(self, arguments: list[str]) -> None:
        self._child = Child(arguments)
        # As many as Ray lets in: waiting is the router's, or the engine's.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(base_url=self._child.url, limits=limits, timeout=timeout)

    async def check_health(self) -> None:
        (await self._client.get("/health", timeout=10)).raise_for_status()

    # Ray remembers which replica has seen which id; loading and evicting stay slora's. The bound is of what the
    # router remembers for a replica.
    @serve.multiplexed(max_num_models_per_replica=int(os.environ.get("SLORA_ADAPTERS_PER_REPLICA", "1000")))
    async def adapter(self, name: str) -> str:
        return name

    async def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Any]:
        """Yields the head of the answer, then its bytes. Ray closes it when the client leaves, which ends the request."""
        name = serve.get_multiplexed_model_id()
        if name:
            await self.adapter(name)
        try:
            async with self._client.stream(method, path, headers=headers, content=body) as answer:
                kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_HEADERS}
                kept["x-slora-replica"] = serve.get_replica_context().replica_id.unique_id
                yield {"status": answer.status_code, "headers": kept}
                async for piece in answer.aiter_raw():
                    yield piece
        except httpx.HTTPError as failed:
            raise ReplicaFailed(f"{type(failed).__name__}: {failed}") from failed

    def __del__(self) -> None:
        if hasattr(self, "_child"):
            self._child.stop()


class Answer:
    """An answer whose first bytes have come: from here on it can't be asked for again."""

    def __init__(self, head: dict[str, Any], first: bytes | None, rest: Any) -> None:
        self.head, self.first, self.rest = head, first, rest

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            if self.first is not None:
                yield self.first
                async for piece in self.rest:
                    yield piece
        finally:
            self.rest.cancel()


def model_of(body: bytes) -> str:
    """The `model` of a request; nothing where there is none. slora itself says what is wrong with a body."""
    with contextlib.suppress(ValueError):
        value = json.loads(body) if body else None
        if isinstance(value, dict) and isinstance(value.get("model"), str):
            return value["model"]
    return ""


def base_names_of(arguments: list[str]) -> set[str]:
    """The names that mean the base model in requests."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("words", nargs="*")  # serve, and the model's folder
    parser.add_argument("--model")
    parser.add_argument("--served-model-name", nargs="+", action="extend", default=[])
    known, _ = parser.parse_known_args(arguments)
    folder = known.model or (known.words[1] if len(known.words) > 1 else "")
    return set(known.served_model_name) or {folder, os.path.basename(os.path.normpath(folder))}


@serve.deployment
class Ingress:
    """Passes requests on, once more where a replica failed before the first byte of its answer."""

    def __init__(self, replicas: Any, base_names: set[str]) -> None:
        self._replicas = replicas
        self._base_names = base_names

    async def __call__(self, request: Request) -> Response:
        if request.url.path.startswith(ONE_REPLICA_PATHS):
            return refusal(404, "not_found", "This call would reach one replica only. Let all of them watch a folder: --watch-adapters.")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                return refusal(413, "request_too_large", f"The body is longer than {BODY_BYTES_MAX} bytes.")
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        headers = {key: value for key, value in request.headers.items() if key not in HOP_HEADERS | {"host"}}
        try:
            answer = await self._ask(request.method, path, headers, body)
        except (ReplicaFailed, RayError) as failed:
            log.warning("a request found no replica: %s", failed)
            return refusal(503, "unavailable", "No replica could answer; try again.")
        return StreamingResponse(answer.pieces(), status_code=answer.head["status"], headers=answer.head["headers"])

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        model = model_of(body)
        for attempt in range(1, TRIES_MAX + 1):
            # Without an id at the next try: a replica that refused for now would be chosen again.
            name = model if attempt == 1 and model not in self._base_names else ""
            handle = self._replicas.options(stream=True, multiplexed_model_id=name)
            rest = handle.forward.remote(method, path, headers, body)
            try:
                head = await anext(rest)
                if head["status"] in RETRIED and attempt < TRIES_MAX:
                    raise ReplicaFailed(f"status {head['status']}")
                return Answer(head, await anext(rest, None), rest)
            except asyncio.CancelledError:
                rest.cancel()
                raise
            except (ReplicaFailed, RayError) as failed:
                rest.cancel()
                if attempt == TRIES_MAX:
                    raise
                log.warning("a replica failed before its answer began, try %d: %s", attempt, failed)
                await asyncio.sleep(TRY_PAUSE_SECONDS * attempt)
        raise AssertionError("expected the last try to return or to raise")


def refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": code, "param": None, "code": code}}, status_code=status)


def build(options: dict[str, str]) -> serve.Application:
    """Options, of `serve run deploy.ray.app:build KEY=VALUE` or a config file; each has a default here."""
    arguments = shlex.split(options.get("arguments", os.environ.get("SLORA_ARGUMENTS", "")))
    if not arguments:
        raise ValueError('expected arguments="serve MODEL ...", or the same in SLORA_ARGUMENTS')
    program = options.get("program", os.environ.get("SLORA_PROGRAM", "slora"))
    replicas = {"min_replicas": int(options.get("min_replicas", "1")), "max_replicas": int(options.get("max_replicas", "4"))}
    in_flight = int(options.get("requests_per_replica", "32"))
    inner = Slora.options(
        # The batch that still meets the target. A hot adapter stays on its replica until this many run there.
        max_ongoing_requests=in_flight,
        autoscaling_config={**replicas, "target_ongoing_requests": max(1, in_flight // 2), "upscale_delay_s": 10},
        ray_actor_options={"num_cpus": float(options.get("num_cpus", "1"))},
        health_check_period_s=float(options.get("health_period", "2")),
        health_check_timeout_s=15,
        graceful_shutdown_timeout_s=35,
    ).bind([program, *arguments])
    ingress = Ingress.options(max_ongoing_requests=10_000, ray_actor_options={"num_cpus": float(options.get("ingress_cpus", "0.1"))})
    return ingress.bind(inner, base_names_of(arguments))


def __getattr__(name: str) -> serve.Application:
    # Made when it is imported by name, so that `build` can be imported without SLORA_ARGUMENTS.
    if name == "app":
        return build({})
    raise AttributeError(name)
