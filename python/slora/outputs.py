"""Answers, in vLLM's shape."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Optional, Union

from slora import _slora
from slora.lora.request import LoRARequest

if TYPE_CHECKING:
    import numpy


@dataclasses.dataclass
class Logprob:
    logprob: float
    rank: Optional[int] = None  # 1 is the most likely; None: not known
    decoded_token: Optional[str] = None


Logprobs = dict[int, Logprob]  # the token itself first, then the most likely ones


@dataclasses.dataclass
class RequestMetrics:
    """Seconds of time.monotonic()."""

    arrival_time: float
    first_token_time: Optional[float] = None
    finished_time: Optional[float] = None


@dataclasses.dataclass
class CompletionOutput:
    index: int
    text: str = ""
    token_ids: list[int] = dataclasses.field(default_factory=list)
    cumulative_logprob: Optional[float] = None
    logprobs: Optional[list[Logprobs]] = None
    finish_reason: Optional[str] = None
    stop_reason: Union[int, str, None] = None
    lora_request: Optional[LoRARequest] = None

    def finished(self) -> bool:
        return self.finish_reason is not None

    def token_array(self) -> numpy.ndarray[Any, Any]:
        """The tokens as an int32 array of numpy."""
        return token_array(self.token_ids)


@dataclasses.dataclass
class RequestOutput:
    request_id: str
    prompt: Optional[str] = None
    prompt_token_ids: list[int] = dataclasses.field(default_factory=list)
    prompt_logprobs: Optional[list[Optional[Logprobs]]] = None
    outputs: list[CompletionOutput] = dataclasses.field(default_factory=list)
    finished: bool = False
    metrics: Optional[RequestMetrics] = None
    lora_request: Optional[LoRARequest] = None
    num_cached_tokens: Optional[int] = None

    def prompt_token_array(self) -> numpy.ndarray[Any, Any]:
        """The prompt's tokens as an int32 array of numpy."""
        return token_array(self.prompt_token_ids)

    def apply(self, update: _slora.AnswerUpdate) -> None:
        """Adds what the engine brought."""
        if update.prompt is not None:
            self._apply_prompt(update.prompt)
        for choice in update.choices:
            self._apply_choice(choice)
        if self.metrics is not None:
            self.metrics.first_token_time = update.first_token_seconds or None
            self.metrics.finished_time = update.seconds if update.is_last else None
        self.finished = update.is_last

    def copy(self) -> RequestOutput:
        """A snapshot that later updates leave as it is."""
        outputs = [
            dataclasses.replace(one, token_ids=list(one.token_ids), logprobs=None if one.logprobs is None else list(one.logprobs))
            for one in self.outputs
        ]
        metrics = None if self.metrics is None else dataclasses.replace(self.metrics)
        return dataclasses.replace(self, outputs=outputs, metrics=metrics)

    def _apply_prompt(self, prompt: _slora.PromptAnswer) -> None:
        self.prompt_token_ids = prompt.tokens
        self.num_cached_tokens = prompt.cached_tokens
        if prompt.text:
            self.prompt = prompt.text
        if prompt.logprobs:
            self.prompt_logprobs = [None, *map(_logprobs_of, prompt.logprobs)]

    def _apply_choice(self, choice: _slora.ChoiceAnswer) -> None:
        while len(self.outputs) <= choice.index:
            self.outputs.append(CompletionOutput(len(self.outputs), lora_request=self.lora_request))
        output = self.outputs[choice.index]
        output.text += choice.text
        output.token_ids += choice.tokens
        if choice.logprobs:
            scored = choice.logprobs
            output.logprobs = [*(output.logprobs or []), *map(_logprobs_of, scored)]
            output.cumulative_logprob = (output.cumulative_logprob or 0.0) + sum(tokens[0].logprob for tokens in scored)
        output.finish_reason = choice.finish_reason or None
        output.stop_reason = json.loads(choice.stop_reason) if choice.stop_reason else None


def token_array(tokens: list[int]) -> numpy.ndarray[Any, Any]:
    import numpy

    return numpy.asarray(tokens, dtype=numpy.int32)


def _logprobs_of(tokens: list[_slora.ScoredToken]) -> Logprobs:
    return {token.id: Logprob(token.logprob, token.rank or None, token.text) for token in tokens}
