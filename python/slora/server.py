"""Many adapters of one model from a program that has tokens and wants tokens, in the shape of transformers' generate()."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from slora._engine import Engine, Request, bytes_of, token_list
from slora.async_llm import Streams
from slora.sampling_params import SamplingParams
from slora.tokenizer import Tokenizer

_MIB = 2**20
_WEIGHT_FILES = (".safetensors", ".bin")


@dataclasses.dataclass(frozen=True)
class LoRAConfig:
    """An adapter's folder. Rank and modules are read from it; those given here are checked against it."""

    adapter_path: str
    r: Optional[int] = None
    target_modules: Union[None, str, Sequence[str]] = None
    name: Optional[str] = None

    def check(self) -> None:
        """ValueError on a difference from the folder."""
        if self.r is None and self.target_modules is None:
            return
        path = os.path.join(self.adapter_path, "adapter_config.json")
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if self.r is not None and found.get("r") != self.r:
            raise ValueError(f"LoRAConfig: r: expected {found.get('r')} as in {path}, found {self.r}")
        if self.target_modules is not None and _as_set(found.get("target_modules")) != _as_set(self.target_modules):
            raise ValueError(
                f"LoRAConfig: target_modules: expected {found.get('target_modules')} as in {path}, found {self.target_modules}"
            )


@dataclasses.dataclass(frozen=True)
class LoRARequest:
    """One text for SLoRAServer.process_request(). `max_length` counts the prompt."""

    request_id: str
    adapter_id: Union[None, int, str]
    input_text: str
    max_length: int = 512
    temperature: float = 0.0
    priority: int = 0


class SLoRAServer:
    """A base model with any number of adapters. The model is read when adapters are loaded, or with the first request."""

    def __init__(
        self,
        base_model: Any,
        device: str = "auto",
        *,
        memory_pool_size: Union[None, int, str] = None,
        max_batch_size: int = 256,
        memory_limit: Union[None, int, str] = None,
        threads: int = 0,
        weights: str = "bf16",
        scheduling_policy: str = "fair-share",
    ) -> None:
        """`base_model` is a folder, or a model of transformers, of which only name_or_path is used.

        `memory_pool_size` is the pool's, in MiB or as "4GiB"; `memory_limit` that of the base's files and the pool together.
        """
        model: Any = base_model if isinstance(base_model, (str, os.PathLike)) else getattr(base_model, "name_or_path", None)
        if model is None:
            raise TypeError(f"base_model: expected a path or a model of transformers, found {type(base_model).__name__}")
        self._model: str = os.fspath(model)
        self._options: dict[str, Any] = {
            "device": device,
            "max_num_seqs": max_batch_size,
            "threads": threads,
            "weights": weights,
            "scheduling_policy": scheduling_policy,
        }
        self._batch_size = max_batch_size
        self._pool_bytes = None if memory_pool_size is None else bytes_of(memory_pool_size, "memory_pool_size", _MIB)
        self._limit_bytes = None if memory_limit is None else bytes_of(memory_limit, "memory_limit")
        self._engine: Optional[Engine] = None
        self._streams: Optional[Streams] = None
        self._adapters: list[str] = []  # by index

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self._model, pool_memory=self._chosen_pool_bytes(), **self._options)
            self._streams = Streams(self._engine)
        return self._engine

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.engine.native)

    def load_adapters(self, configs: Sequence[LoRAConfig], memory_pool_size: Union[None, int, str] = None) -> list[str]:
        """Reads the folders and returns the adapters' names, in the order of `configs`; requests may use their indexes instead.

        `memory_pool_size` may be given only before the engine has started.
        """
        if memory_pool_size is not None:
            if self._engine is not None:
                raise ValueError("memory_pool_size: expected it before the first adapters are loaded; the pool is there already")
            self._pool_bytes = bytes_of(memory_pool_size, "memory_pool_size", _MIB)
        for config in configs:
            config.check()
        names = [config.name or f"adapter-{len(self._adapters) + i}" for i, config in enumerate(configs)]
        for name, config in zip(names, configs):
            self._add(name, config.adapter_path)
        return names

    def unload_adapters(self, names: Optional[Sequence[str]] = None) -> None:
        """All of them without `names`. Requests that run keep theirs; the indexes of the others stay."""
        for name in [one for one in self._adapters if one] if names is None else names:
            if name not in self._adapters:
                raise ValueError(f"names: there is no adapter {name!r}")
            self.engine.remove_adapter(name)
            self._adapters[self._adapters.index(name)] = ""
        if not any(self._adapters):
            self._adapters.clear()

    def generate(
        self,
        inputs: Any,
        adapter_ids: Union[None, int, str, Sequence[Union[None, int, str]]] = None,
        *,
        max_length: Optional[int] = None,
        max_new_tokens: Optional[int] = None,
        batch_size: Optional[int] = None,
        use_unified_paging: bool = True,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: Optional[int] = None,
        stop: Union[None, str, Sequence[str]] = None,
        eos_token_id: Union[None, int, Sequence[int]] = None,
    ) -> list[Any]:
        """Prompt and output of each input, as lists of tokens, or as 1-D arrays or tensors when such came in.

        `inputs` is a BatchEncoding or a dict with input_ids and attention_mask, or a list of texts. `adapter_ids` names for each an
        index, a name, or None for the base. `max_length` counts the prompt, `max_new_tokens` does not; without either an answer ends with
        the model's end token or the context. `batch_size` bounds how many are computed at once.
        """
        if not use_unified_paging:
            raise ValueError("use_unified_paging: expected True, because memory is always paged")
        if max_length is not None and max_new_tokens is not None:
            raise ValueError("expected max_length or max_new_tokens, found both")
        rows, make_result = _rows_of(inputs)
        adapters = self._adapters_of(adapter_ids, len(rows))
        sampling: dict[str, Any] = {"temperature": 0.0}
        if do_sample:
            sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        sampling.update(seed=seed, stop=stop)
        if eos_token_id is not None:
            sampling.update(ignore_eos=True, stop_token_ids=[eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id))
        requests = [
            self._request(row, adapter, max_length, max_new_tokens, sampling, 0) for row, adapter in zip(rows, adapters)
        ]
        outputs = self.engine.run(requests, max(batch_size or self._batch_size, 1))
        return [make_result(output.prompt_token_ids + output.outputs[0].token_ids) for output in outputs]

    async def add_adapter(self, adapter_id: str, path: str) -> None:
        await asyncio.to_thread(self._add, adapter_id, path)

    async def process_request(self, request: LoRARequest) -> str:
        """The text of the answer."""
        [adapter] = self._adapters_of([request.adapter_id], 1)
        engine = await asyncio.to_thread(lambda: self.engine)
        assert self._streams is not None
        answers = self._streams.answers(
            lambda: self._request(
                request.input_text, adapter, request.max_length, None, {"temperature": request.temperature}, request.priority
            ),
            True,
            request.request_id,
        )
        text = ""
        async for output in answers:
            text = output.outputs[0].text
        return text

    def metrics(self) -> dict[str, float]:
        """Requests served; seconds of one, on average; output tokens a second while any ran; bytes of the pool that are used; and the
        share of requests whose adapter was in the pool already."""
        return self.engine.metrics()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def __enter__(self) -> SLoRAServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, name: str, folder: str) -> None:
        self.engine.add_adapter(name, folder)
        self._adapters.append(name)

    def _chosen_pool_bytes(self) -> Optional[int]:
        if self._limit_bytes is None:
            return self._pool_bytes
        files = [entry.stat().st_size for entry in os.scandir(self._model) if entry.name.endswith(_WEIGHT_FILES)]
        left = self._limit_bytes - sum(files)
        if left <= 0:
            raise ValueError(f"memory_limit: expected more than the {sum(files)} bytes of the base's files, found {self._limit_bytes}")
        return left if self._pool_bytes is None else min(left, self._pool_bytes)

    def _adapters_of(self, ids: Any, count: int) -> list[Optional[str]]:
        given = list(ids) if isinstance(ids, Sequence) and not isinstance(ids, str) else None
        if given is None:
            given = token_list(ids) if hasattr(ids, "tolist") else [ids] * count
        if len(given) != count:
            raise ValueError(f"adapter_ids: expected one for each of the {count} inputs, found {len(given)}")
        return [self._adapter_of(one) for one in given]

    def _adapter_of(self, one: Union[None, int, str]) -> Optional[str]:
        if one is None or isinstance(one, str):
            return one
        if not 0 <= one < len(self._adapters) or not self._adapters[one]:
            raise ValueError(f"adapter_ids: expected an index of the {len(self._adapters)} loaded adapters, found {one}")
        return self._adapters[one]

    def _request(
        self,
        prompt: Union[str, list[int]],
        adapter: Optional[str],
        max_length: Optional[int],
        max_new_tokens: Optional[int],
        sampling: Mapping[str, Any],
        priority: int,
    ) -> Request:
        tokens = self.engine.native.encode(prompt, adapter or "", True) if isinstance(prompt, str) else prompt
        if max_length is not None:
            max_new_tokens = max_length - len(tokens)
            if max_new_tokens < 1:
                raise ValueError(f"max_length: expected more than the {len(tokens)} tokens of the prompt, found {max_length}")
        return self.engine.completion(tokens, SamplingParams(max_tokens=max_new_tokens, **sampling), adapter, priority)


def _as_set(modules: Any) -> Any:
    return modules if modules is None or isinstance(modules, str) else set(modules)


def _rows_of(inputs: Any) -> tuple[list[Any], Any]:
    """The prompts, and what makes a result of tokens."""
    if isinstance(inputs, str):
        raise TypeError("inputs: expected a list of texts, or a dict with input_ids, found one text")
    if not hasattr(inputs, "keys"):
        return list(inputs), list
    ids = inputs["input_ids"]
    mask = inputs["attention_mask"] if "attention_mask" in inputs else None
    rows = ids.tolist() if hasattr(ids, "tolist") else [token_list(row) for row in ids]
    if rows and not isinstance(rows[0], list):
        raise ValueError("input_ids: expected one list of tokens for each input, found one for all")
    if mask is not None:
        masks = mask.tolist() if hasattr(mask, "tolist") else mask
        rows = [[token for token, kept in zip(row, kept_of) if kept] for row, kept_of in zip(rows, masks)]
    return rows, _maker_of(ids)


def _maker_of(ids: Any) -> Any:
    """Results are what came in. Neither library is imported here: where an array of one comes in, it is there."""
    first = ids[0] if isinstance(ids, (list, tuple)) and ids else ids
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(first, torch.Tensor):
        return torch.tensor
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(first, numpy.ndarray):
        return lambda tokens: numpy.asarray(tokens, dtype=numpy.int64)
    return list
