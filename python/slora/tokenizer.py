"""The engine's own tokenizer, for programs that have no other."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from slora._engine import token_list

if TYPE_CHECKING:
    from slora import _slora


class Tokenizer:
    """Of the base model, or of an adapter whose tokenizer has more tokens."""

    def __init__(self, engine: _slora.Engine, adapter: str = "") -> None:
        self._engine = engine
        self._adapter = adapter

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return self._engine.encode(text, self._adapter, add_special_tokens)

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> str:
        return self._engine.decode(token_list(token_ids), self._adapter, skip_special_tokens)

    def batch_decode(self, sequences: Sequence[Any], skip_special_tokens: bool = False) -> list[str]:
        return [self.decode(token_ids, skip_special_tokens) for token_ids in sequences]

    def __call__(self, texts: Union[str, Sequence[str]], *, padding: bool = False, return_tensors: Optional[str] = None) -> dict[str, Any]:
        """`input_ids` and `attention_mask`, as of transformers; padded on the left, and as arrays ("np") or tensors ("pt")."""
        rows = [self.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        masks = [[1] * len(row) for row in rows]
        if padding:
            longest = max(map(len, rows), default=0)
            rows, masks = ([[0] * (longest - len(row)) + row for row in lists] for lists in (rows, masks))
        encoded: dict[str, Any] = {"input_ids": rows, "attention_mask": masks}
        if return_tensors == "np":
            import numpy

            return {name: numpy.asarray(lists) for name, lists in encoded.items()}
        if return_tensors == "pt":
            torch: Any = importlib.import_module("torch")
            return {name: torch.tensor(lists) for name, lists in encoded.items()}
        if return_tensors is not None:
            raise ValueError(f'return_tensors: expected None, "np" or "pt", found {return_tensors!r}')
        return encoded
