"""Batches of requests from a program, in vLLM's shape."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, TypeVar, Union

from slora._engine import AdapterChoice, Engine, LoraModules, Messages, Prompt, is_token_ids
from slora.lora.request import LoRARequest
from slora.outputs import RequestOutput
from slora.sampling_params import SamplingParams
from slora.tokenizer import Tokenizer

_IN_FLIGHT_MAX = 1024  # requests that the engine has at once; the others follow as these end
_ParamsList = Union[None, SamplingParams, Sequence[SamplingParams]]
_AdapterList = Union[AdapterChoice, Sequence[AdapterChoice]]
_T = TypeVar("_T")


class LLM:
    """One base model with its adapters. `adapters` are folders of adapter folders, each served under its folder's name.

    The arguments of vLLM that size its adapter slots are taken and have no effect: here adapters share the pool.
    """

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
        enable_lora: bool = True,
        max_loras: Optional[int] = None,
        max_lora_rank: Optional[int] = None,
        max_cpu_loras: Optional[int] = None,
        gpu_memory_utilization: Optional[float] = None,
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

    def generate(
        self,
        prompts: Union[Prompt, Sequence[Prompt]],
        sampling_params: _ParamsList = None,
        *,
        use_tqdm: bool = True,
        lora_request: _AdapterList = None,
        priority: Optional[Sequence[int]] = None,
    ) -> list[RequestOutput]:
        """The answers to all prompts, in their order. Ctrl-C and the first error cancel what is left."""
        listed: list[Prompt] = [prompts] if isinstance(prompts, (str, Mapping)) or is_token_ids(prompts) else list(prompts)
        params, adapters = _per_prompt(listed, sampling_params, lora_request)
        priorities = _one_each(priority, len(listed), "priority", 0)
        requests = [self.engine.completion(*one) for one in zip(listed, params, adapters, priorities)]
        return self.engine.run(requests, _IN_FLIGHT_MAX, _progress(len(requests), use_tqdm))

    def chat(
        self,
        messages: Union[Messages, Sequence[Messages]],
        sampling_params: _ParamsList = None,
        use_tqdm: bool = True,
        lora_request: _AdapterList = None,
        *,
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        chat_template_kwargs: Optional[Mapping[str, Any]] = None,
        add_generation_prompt: Optional[bool] = None,
        continue_final_message: Optional[bool] = None,
    ) -> list[RequestOutput]:
        """As generate(), of one conversation or of several."""
        conversations: list[Any] = [messages] if messages and isinstance(messages[0], Mapping) else list(messages)
        params, adapters = _per_prompt(conversations, sampling_params, lora_request)
        options = {
            "tools": tools,
            "chat_template_kwargs": chat_template_kwargs,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message,
        }
        requests = [self.engine.chat(*one, 0, options) for one in zip(conversations, params, adapters)]
        return self.engine.run(requests, _IN_FLIGHT_MAX, _progress(len(requests), use_tqdm))

    def get_tokenizer(self, lora_request: AdapterChoice = None) -> Tokenizer:
        return Tokenizer(self.engine.native, self.engine.model_of(lora_request))

    def add_adapter(self, name: str, folder: str) -> None:
        """Reads the whole folder and serves it under a free name; a broken adapter is a ValueError that says what is wrong."""
        self.engine.add_adapter(name, folder)

    def remove_adapter(self, name: str) -> None:
        """Requests that run keep it."""
        self.engine.remove_adapter(name)

    def list_adapters(self) -> dict[str, str]:
        """Their folders by name, without those that are refused."""
        return {one.name: one.folder for one in self.engine.native.adapters() if one.refused is None}

    def metrics(self) -> dict[str, float]:
        return self.engine.metrics()

    def close(self) -> None:
        """Ends the requests that run and gives back all memory. Happens by itself when the object is no longer used."""
        self.engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _one_each(values: Union[None, _T, Sequence[_T]], count: int, name: str, default: _T) -> Sequence[_T]:
    if values is None:
        return [default] * count
    if isinstance(values, (str, SamplingParams, LoRARequest)) or not isinstance(values, Sequence):
        return [values] * count
    if len(values) != count:
        raise ValueError(f"{name}: expected one, or one for each of the {count} prompts, found {len(values)}")
    return values


def _per_prompt(
    prompts: Sequence[Any], params: _ParamsList, adapters: _AdapterList
) -> tuple[Sequence[Optional[SamplingParams]], Sequence[AdapterChoice]]:
    return (
        _one_each(params, len(prompts), "sampling_params", None),
        _one_each(adapters, len(prompts), "lora_request", None),
    )


def _progress(count: int, use_tqdm: Union[bool, Callable[..., Any]]) -> Optional[Any]:
    """A bar, where tqdm is installed."""
    if callable(use_tqdm):
        return use_tqdm(total=count, desc="Processed prompts")
    if not use_tqdm:
        return None
    try:
        tqdm: Any = importlib.import_module("tqdm")
    except ImportError:
        return None
    return tqdm.tqdm(total=count, desc="Processed prompts")
