"""How an answer is sampled, and what of it is returned: the fields of the request table (docs/api.md)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from slora import _slora

# Fields of a request that other arguments give, or that mean nothing outside of HTTP.
_NO_PARAMETERS = frozenset(
    "prompt stream stream_options echo return_token_ids return_tokens_as_token_ids suffix user priority".split()
)
# vLLM's, of which the table knows nothing.
_UNSERVED = frozenset(
    "detokenize extra_args flat_logprobs guided_decoding output_kind skip_clone skip_reading_prefix_cache".split()
)
_ALWAYS_GIVEN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclasses.dataclass(frozen=True)
class StructuredOutputsParams:
    """The form of an answer, for `structured_outputs`: exactly one of the first six (docs/api.md). A dict of these says the same."""

    json: Union[None, str, Mapping[str, Any]] = None
    regex: Optional[str] = None
    choice: Optional[Sequence[str]] = None
    grammar: Optional[str] = None
    json_object: Optional[bool] = None
    structural_tag: Optional[str] = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: Optional[str] = None


class SamplingParams:
    """Checked when it is made: a value out of range, or a field that is not served, is a ValueError that names it.

    All of `temperature` to `repetition_penalty` replace the model's own defaults (generation_config.json). `max_tokens=None` means as
    many as the context holds. Fields that are not listed here are taken by the names of the request table.
    """

    def __init__(
        self,
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        seed: Optional[int] = None,
        stop: Union[None, str, Sequence[str]] = None,
        stop_token_ids: Optional[Sequence[int]] = None,
        ignore_eos: bool = False,
        max_tokens: Optional[int] = 16,
        min_tokens: int = 0,
        logprobs: Optional[int] = None,
        prompt_logprobs: Optional[int] = None,
        skip_special_tokens: bool = True,
        include_stop_str_in_output: bool = False,
        truncate_prompt_tokens: Optional[int] = None,
        logit_bias: Optional[Mapping[int, float]] = None,
        structured_outputs: Union[None, StructuredOutputsParams, Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
        **other: Any,
    ) -> None:
        self.n = n
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.min_p = min_p
        self.repetition_penalty = repetition_penalty
        self.presence_penalty = presence_penalty
        self.frequency_penalty = frequency_penalty
        self.seed = seed
        self.stop = stop
        self.stop_token_ids = stop_token_ids
        self.ignore_eos = ignore_eos
        self.max_tokens = max_tokens
        self.min_tokens = min_tokens
        self.logprobs = logprobs
        self.prompt_logprobs = prompt_logprobs
        self.skip_special_tokens = skip_special_tokens
        self.include_stop_str_in_output = include_stop_str_in_output
        self.truncate_prompt_tokens = truncate_prompt_tokens
        self.logit_bias = logit_bias
        self.structured_outputs = structured_outputs
        self.timeout = timeout
        self._other = dict(other)
        known = set(_slora.field_names()) - _NO_PARAMETERS
        for name in other:
            if name in _UNSERVED:
                raise ValueError(f"{name}: not served")
            if name not in known:
                raise TypeError(f"SamplingParams got an unexpected keyword argument {name!r}")
        _slora.check_request("completions", json.dumps({**self.fields(), "prompt": "x"}))

    def __repr__(self) -> str:
        return f"SamplingParams({', '.join(f'{name}={value!r}' for name, value in self.fields().items())})"

    def fields(self, chat: bool = False) -> dict[str, Any]:
        """The fields of a request body that say the same, for completions or for chats."""
        given = {name: value for name, value in {**vars(self), **self._other}.items() if not name.startswith("_")}
        defaults = _DEFAULTS
        fields = {
            name: _plain(value)
            for name, value in given.items()
            if value is not None and (name in _ALWAYS_GIVEN or value != defaults.get(name) or name == "max_tokens")
        }
        if "logit_bias" in fields:
            fields["logit_bias"] = {str(token): bias for token, bias in fields["logit_bias"].items()}
        if chat and "logprobs" in fields:
            fields["top_logprobs"] = fields["logprobs"]
            fields["logprobs"] = True
        return fields


def _plain(value: Any) -> Any:
    """As JSON has it: arrays of numpy and torch become lists, dataclasses dicts of what they say."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({name: one for name, one in dataclasses.asdict(value).items() if one is not None and one is not False})
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


_DEFAULTS: dict[str, Any] = {
    name: default
    for name, default in (SamplingParams.__init__.__kwdefaults__ or {}).items()
}
