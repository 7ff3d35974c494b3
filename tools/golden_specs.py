"""The golden models: what each is made of, and which of its features must be felt."""

from dataclasses import dataclass, field

import torch
import transformers
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

import golden_adapters


@dataclass
class Model:
    name: str
    seed: int
    config: transformers.PreTrainedConfig
    dtype: torch.dtype = torch.bfloat16
    form: int = 5  # of config.json: as transformers 4 or 5 writes it
    rope_key: str = "rope_type"  # in form 4; "type" before transformers 4.43
    window_theta_key: str = ""  # in form 4, of the RoPE of layers with a window
    old_keys: dict = field(default_factory=dict)  # further keys of form 4
    left_out: tuple = ()  # keys that form 4 leaves to their defaults
    shard_bytes: int | None = None
    features: tuple = ()  # config changes that must change the logits
    adapters: tuple = ()
    prepare: object = None  # changes the random model before it is written


def llama(**keys):
    return LlamaConfig(**({"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 256} | keys))


def mistral(**keys):
    return MistralConfig(**({"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 256} | keys))


def qwen2(**keys):
    return Qwen2Config(**({"num_hidden_layers": 2, "max_position_embeddings": 256} | keys))


def qwen3(**keys):
    return Qwen3Config(**({"num_hidden_layers": 2, "max_position_embeddings": 256} | keys))


def sizes(vocab, hidden, intermediate, heads, kv_heads):
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


def rope(theta, **scaling):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta} | scaling}


def plain_rope(config):
    config.rope_parameters = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}


def no_window(config):
    config.sliding_window = None
    config.layer_types = ["full_attention"] * config.num_hidden_layers


def window_everywhere(config):
    config.layer_types = ["sliding_attention"] * config.num_hidden_layers


def other_theta(config):
    config.rope_parameters["rope_theta"] *= 3.0


def without(key):
    def change(config):
        del config.rope_parameters[key]

    change.__name__ = f"without_{key}"
    return change


LLAMA3_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

MODELS = [
    Model(
        "llama2_mha",
        1,
        llama(**sizes(97, 40, 56, 5, 5), **rope(10000.0)),
        torch.float32,
        form=4,
        features=(other_theta,),
        adapters=golden_adapters.LLAMA,
    ),
    Model(
        "qwen2_bias",
        2,
        qwen2(**sizes(101, 56, 72, 7, 1), **rope(1000000.0), tie_word_embeddings=True, rms_norm_eps=1e-6),
        form=4,
        old_keys={"use_sliding_window": False, "sliding_window": 6, "max_window_layers": 1},
        features=(other_theta,),
        adapters=golden_adapters.QWEN2,
    ),
    Model(
        "qwen3_norms",
        3,
        qwen3(**sizes(103, 48, 80, 6, 2), **rope(1000000.0), head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6),
        features=(other_theta,),
        adapters=golden_adapters.QWEN3,
    ),
    Model(
        "mistral_sliding",
        4,
        mistral(**sizes(107, 48, 80, 6, 2), **rope(10000.0), sliding_window=8),
        form=4,
        features=(no_window, other_theta),
        adapters=golden_adapters.MISTRAL,
    ),
    Model(
        "llama3_rope",
        5,
        llama(**sizes(113, 64, 88, 4, 2), **rope(500000.0, **LLAMA3_SCALING), tie_word_embeddings=True),
        features=(plain_rope,),
        adapters=golden_adapters.LLAMA3,
    ),
    Model(
        "llama_linear_rope",
        6,
        llama(**sizes(97, 60, 72, 5, 1), **rope(10000.0, rope_type="linear", factor=4.0)),
        torch.float16,
        form=4,
        rope_key="type",
        features=(plain_rope,),
    ),
    Model(
        "llama_dynamic_rope",
        7,
        llama(**sizes(97, 48, 64, 4, 4), **rope(10000.0, rope_type="dynamic", factor=2.0), max_position_embeddings=48),
        form=4,
        left_out=(
            "num_key_value_heads",
            "attention_bias",
            "mlp_bias",
            "attention_dropout",
            "tie_word_embeddings",
            "head_dim",
            "pad_token_id",
        ),
    ),
    Model("mistral_full", 8, mistral(**sizes(109, 48, 72, 6, 3), **rope(1000000.0), sliding_window=None, head_dim=16), torch.float16),
    Model(
        "qwen2_window",
        9,
        qwen2(
            **sizes(97, 48, 64, 3, 1), **rope(10000.0), num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1
        ),
        features=(no_window, window_everywhere),
    ),
    Model("qwen3_yarn", 10, qwen3(**sizes(97, 48, 64, 4, 2), **rope(1000.0, **YARN), head_dim=20), features=(plain_rope,)),
    Model(
        "qwen3_yarn_explicit",
        11,
        qwen3(
            **sizes(97, 48, 64, 4, 2),
            **rope(1000.0, **YARN, beta_fast=8.0, beta_slow=0.5, truncate=False, attention_factor=1.5),
            head_dim=20,
        ),
        form=4,
        features=(plain_rope, *map(without, ("beta_fast", "beta_slow", "truncate", "attention_factor"))),
    ),
    Model(
        "llama_yarn_mscale",
        12,
        llama(**sizes(97, 48, 64, 4, 2), **rope(1000.0, **YARN, mscale=1.0, mscale_all_dim=0.5)),
        features=(plain_rope, without("mscale"), without("mscale_all_dim")),
    ),
    Model(
        "llama_bias",
        13,
        llama(**sizes(97, 48, 64, 4, 2), **rope(10000.0), attention_bias=True, mlp_bias=True),
        form=4,
        adapters=golden_adapters.LLAMA_BIAS,
    ),
    Model("llama_sharded", 14, llama(**sizes(97, 48, 64, 4, 2), **rope(10000.0)), form=4, shard_bytes=30000),
]
