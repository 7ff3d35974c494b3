"""Streams of answers in an event loop, in vLLM's shape."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Callable, Optional, Union

from slora import _slora
from slora._engine import AdapterChoice, Engine, LoraModules, Messages, Prompt, Request
from slora.errors import SloraError
from slora.outputs import RequestOutput
from slora.sampling_params import SamplingParams
from slora.tokenizer import Tokenizer


class AsyncLLM:
    """One base model with its adapters, for any number of event loops at once. Arguments are those of LLM."""

    def __init__(
        self,
        model: str,
        *,
        adapters: Union[None, str, Sequence[str]] = None,
        lora_modules: Optional[LoraModules] = None,
        device: str = "auto",
        weights: str = "bf16",
        pool_memory: Union[None, int, str] = None,
        max_model_len: Optional[int] = None,
        max_num_seqs: Optional[int] = None,
        threads: int = 0,
        chat_template: Optional[str] = None,
        scheduling_policy: str = "fair-share",
    ) -> None:
        self.engine = Engine(
            model,
            device=device,
            adapters=adapters,
            lora_modules=lora_modules,
            weights=weights,
            pool_memory=pool_memory,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            threads=threads,
            chat_template=chat_template,
            scheduling_policy=scheduling_policy,
        )
        self.streams = Streams(self.engine)

    def generate(
        self,
        prompt: Prompt,
        sampling_params: Optional[SamplingParams] = None,
        request_id: Optional[str] = None,
        lora_request: AdapterChoice = None,
        priority: int = 0,
    ) -> AsyncIterator[RequestOutput]:
        """The answer so far, each time that there is more of it; leaving the loop or closing the iterator cancels the request.

        A reader that is slower than the engine gets several tokens at once.
        """
        needs_thread = not self.engine.is_registered(lora_request) or (sampling_params is not None and sampling_params.max_tokens is None)
        return self.streams.answers(
            lambda: self.engine.completion(prompt, sampling_params, lora_request, priority), needs_thread, request_id
        )

    def chat(
        self,
        messages: Messages,
        sampling_params: Optional[SamplingParams] = None,
        request_id: Optional[str] = None,
        lora_request: AdapterChoice = None,
        priority: int = 0,
        **options: Any,
    ) -> AsyncIterator[RequestOutput]:
        """As generate(). The options are further fields of chats, such as tools and chat_template_kwargs."""
        return self.streams.answers(
            lambda: self.engine.chat(messages, sampling_params, lora_request, priority, options),
            not self.engine.is_registered(lora_request),
            request_id,
        )

    async def abort(self, request_id: str) -> None:
        """Ends all requests of this id: their last output has the finish_reason "abort"."""
        self.streams.abort(request_id)

    async def add_adapter(self, name: str, folder: str) -> None:
        await asyncio.to_thread(self.engine.add_adapter, name, folder)

    async def remove_adapter(self, name: str) -> None:
        await asyncio.to_thread(self.engine.remove_adapter, name)

    def get_tokenizer(self, adapter: str = "") -> Tokenizer:
        return Tokenizer(self.engine.native, adapter)

    def metrics(self) -> dict[str, float]:
        return self.engine.metrics()

    def close(self) -> None:
        """Requests that run end with ClosedError."""
        self.engine.close()

    def shutdown(self) -> None:
        self.close()

    def __enter__(self) -> AsyncLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Streams:
    """The requests of an engine that event loops wait for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopStreams] = weakref.WeakKeyDictionary()

    async def answers(self, prepare: Callable[[], Request], in_thread: bool, request_id: Optional[str]) -> AsyncIterator[RequestOutput]:
        loop = asyncio.get_running_loop()
        streams = self._loops.get(loop)
        if streams is None:
            streams = self._loops.setdefault(loop, _LoopStreams(loop))
        request = await asyncio.to_thread(prepare) if in_thread else prepare()
        if request_id is not None:
            request.output.request_id = request_id
        stream = _Stream(request)
        self._engine.submit(request, streams.queue, True)
        streams.by_key[request.key] = stream
        try:
            while True:
                await stream.changed.wait()
                stream.changed.clear()
                if stream.error is not None:
                    raise stream.error
                output = request.output.copy()
                yield output
                if output.finished:
                    return
        finally:
            del streams.by_key[request.key]
            if stream.is_over:
                self._engine.finish(request)
            else:
                self._engine.cancel(request)

    def abort(self, request_id: str) -> None:
        for loop, streams in list(self._loops.items()):
            for stream in list(streams.by_key.values()):
                if stream.request.output.request_id == request_id:
                    loop.call_soon_threadsafe(stream.abort)


class _Stream:
    """One answer as its event loop sees it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.changed = asyncio.Event()
        self.error: Optional[SloraError] = None
        self.is_over = False  # the engine has sent its last update

    def apply(self, update: _slora.AnswerUpdate) -> None:
        self.is_over = update.is_last
        try:
            update.raise_error()
        except SloraError as error:
            self.error = error
        self.request.output.apply(update)
        self.changed.set()

    def abort(self) -> None:
        if self.request.output.finished:
            return
        self.request.output.finished = True
        for output in self.request.output.outputs:
            output.finish_reason = output.finish_reason or "abort"
        self.changed.set()


class _LoopStreams:
    """The streams of one event loop. The engine's thread wakes the loop once for all that a step brought.

    Nothing here keeps the loop alive, and the native queue keeps nothing of this alive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.by_key: dict[int, _Stream] = {}
        its_loop, itself = weakref.ref(loop), weakref.ref(self)

        def drain() -> None:
            streams = itself()
            if streams is not None:
                streams._drain()

        def notify() -> None:
            loop = its_loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(drain)
                    return
            except RuntimeError:  # the loop was closed
                pass
            streams = itself()
            if streams is not None:
                streams.queue.close()

        self.queue = _slora.AnswerQueue(notify)

    def _drain(self) -> None:
        for update in self.queue.take():
            stream = self.by_key.get(update.request)
            if stream is not None and not stream.request.output.finished:
                stream.apply(update)

    def __del__(self) -> None:
        self.queue.close()
