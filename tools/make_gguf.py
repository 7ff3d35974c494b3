#!/usr/bin/env python3
"""Writes a Llama as a GGUF file: of a model folder, or with random weights of a folder's config.json, and adapters of it.

usage: make_gguf.py FOLDER OUT.gguf --type Q8_0|Q4_0|Q4_1|Q4_K_M|BF16 [--random] [--adapters COUNT --rank R]

Q4_K_M has Q4_K, and Q6_K where llama.cpp's quantize has it by default; in rows whose length is no multiple of 256 Q5_0 and Q8_0, as there.
Adapters are GGUF files of random LoRA on all seven modules, next to OUT: OUT-adapters/aN/adapter.gguf. --random does not look at numbers,
so that a large file takes seconds. Needs gguf, transformers, safetensors. For benchmarks: beside_llama_cpp.py.
"""

import argparse
import json
import types
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open

from gguf_files import FACTORS, add_config, gguf_name, permuted, quantised, write

MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def type_of(name, wanted, columns, layer, layers):
    """As llama.cpp's quantize chooses: more bits for the output, and for V and down in the layers that matter most."""
    if wanted != "Q4_K_M":
        return Type[wanted]
    has_more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    more = name.startswith(("token_embd", "output")) or (has_more and any(part in name for part in ("attn_v", "ffn_down")))
    if columns % 256 != 0:
        return Type.Q8_0 if more else Type.Q5_0
    return Type.Q6_K if more else Type.Q4_K


def random_blocks(rng, shape, kind):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    if kind == Type.BF16:
        return gguf.quants.quantize(rng.standard_normal(shape, np.float32) * 0.02, kind)
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // elements, size), np.uint8)
    for place in FACTORS[kind.name]:
        factors = rng.uniform(1e-4, 3e-4, blocks.shape[:-1]).astype(np.float16)
        blocks[..., place : place + 2] = factors.view(np.uint8).reshape(*factors.shape, 2)
    return blocks.reshape(*shape[:-1], -1)


def shapes(config):
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    return dict(zip(MODULES, ((queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries), (inner, hidden), (inner, hidden), (hidden, inner)), strict=True))


def tensor_shapes(config):
    yield "model.embed_tokens.weight", (config.vocab_size, config.hidden_size)
    for layer in range(config.num_hidden_layers):
        for module, shape in shapes(config).items():
            yield f"model.layers.{layer}.{module}.weight", shape
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{norm}.weight", (config.hidden_size,)
    yield "model.norm.weight", (config.hidden_size,)
    if not config.tie_word_embeddings:
        yield "lm_head.weight", (config.vocab_size, config.hidden_size)


def read_config(folder):
    values = json.loads((folder / "config.json").read_text())
    if values["model_type"] != "llama":
        raise SystemExit(f"{folder}/config.json: expected model_type llama, found {values['model_type']}")
    values.setdefault("head_dim", values["hidden_size"] // values["num_attention_heads"])
    values.setdefault("tie_word_embeddings", False)
    values["rope_parameters"] = values.get("rope_parameters") or {"rope_theta": values.get("rope_theta", 1e4)}
    return types.SimpleNamespace(**values)


def add_tokenizer(writer, folder, count):
    """Of tokenizer.json; without one, tokens that only numbers name."""
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text()) if path.exists() else {"model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, "added_tokens": []}
    vocabulary = model["model"]["vocab"] | {token["content"]: token["id"] for token in model["added_tokens"]}
    special = {token["content"] for token in model["added_tokens"]}
    tokens = [f"unused {index}" for index in range(count)]
    for token, index in vocabulary.items():
        tokens[index] = token
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["model"]["merges"]])
    writer.add_eos_token_id(next((index for token, index in vocabulary.items() if token == "<|im_end|>"), count - 1))
    writer.add_add_bos_token(False)


def write_model(folder, out, wanted, is_random):
    config = read_config(folder)
    writer = gguf.GGUFWriter(out, "llama")
    add_config(writer, config, "llama")
    add_tokenizer(writer, folder, config.vocab_size)
    rng = np.random.default_rng(0)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    stored = None if is_random else safe_open(folder / "model.safetensors", "pt")
    for name, shape in tensor_shapes(config):
        layer = int(name.split(".")[2]) if ".layers." in name else 0
        kind = type_of(gguf_name(name, "llama"), wanted, shape[-1], layer, config.num_hidden_layers) if len(shape) == 2 else Type.F32
        if is_random:
            data = random_blocks(rng, shape, kind) if len(shape) == 2 else np.ones(shape, np.float32)
        else:
            numbers = stored.get_tensor(name).float().numpy()
            count = heads.get(name.rsplit(".", 2)[1], 0)
            data = quantised(permuted(numbers, count) if count else numbers, kind) if kind != Type.F32 else numbers
        writer.add_tensor(gguf_name(name, "llama"), data, raw_dtype=kind)
    write(writer)
    return config


def write_adapter(path, config, rank, seed):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", rank)
    rng = np.random.default_rng(seed)
    for layer in range(config.num_hidden_layers):
        for module, (rows, columns) in shapes(config).items():
            name = gguf_name(f"model.layers.{layer}.{module}.weight", "llama")
            for ending, shape in (("lora_a", (rank, columns)), ("lora_b", (rows, rank))):
                numbers = rng.standard_normal(shape, np.float32) * 0.01
                writer.add_tensor(f"{name}.{ending}", numbers.astype(np.float16), raw_dtype=Type.F16)
    write(writer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="Q8_0", choices=("Q8_0", "Q4_0", "Q4_1", "Q4_K_M", "BF16"))
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--adapters", type=int, default=0)
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    config = write_model(options.folder, options.out, options.type, options.random)
    for index in range(options.adapters):
        folder = options.out.with_name(options.out.stem + "-adapters") / f"a{index}"
        folder.mkdir(parents=True, exist_ok=True)
        write_adapter(folder / "adapter.gguf", config, options.rank, index)


main()
