"""One base language model and thousands of LoRA adapters in one batch: docs/python.md."""

from slora._slora import set_log_level
from slora._slora import version as __version__
from slora.async_llm import AsyncLLM
from slora.errors import (
    ClosedError,
    DeadlineExceededError,
    EngineError,
    ForkedError,
    LoadError,
    NotFoundError,
    QueueFullError,
    RequestError,
    SloraError,
)
from slora.llm import LLM
from slora.lora.request import LoRARequest
from slora.outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput
from slora.sampling_params import SamplingParams, StructuredOutputsParams
from slora.server import LoRAConfig, SLoRAServer
from slora.tokenizer import Tokenizer

__all__ = [
    "AsyncLLM",
    "ClosedError",
    "CompletionOutput",
    "DeadlineExceededError",
    "EngineError",
    "ForkedError",
    "LLM",
    "LoRAConfig",
    "LoRARequest",
    "LoadError",
    "Logprob",
    "NotFoundError",
    "QueueFullError",
    "RequestError",
    "RequestMetrics",
    "RequestOutput",
    "SLoRAServer",
    "SamplingParams",
    "SloraError",
    "StructuredOutputsParams",
    "Tokenizer",
    "__version__",
    "set_log_level",
]
