"""Adapter folders that must be refused, each for one reason, against the base mix32.

Each folder holds `expected.json`: the error code, and what the message must mention.
"""

import json
import shutil
import struct
from pathlib import Path

import torch
from safetensors.torch import save

HIDDEN, KV_WIDTH, RANK = 48, 16, 2  # of mix32
PREFIX = "base_model.model.model.layers.{}.self_attn."
Q0, V0 = PREFIX.format(0) + "q_proj", PREFIX.format(0) + "v_proj"
Q1 = PREFIX.format(1) + "q_proj"


def config(**changes):
    """A short adapter_config.json; a value of `...` leaves the key out."""
    keys = {
        "base_model_name_or_path": "golden/mix32",
        "bias": "none",
        "init_lora_weights": True,
        "lora_alpha": 4,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
    } | changes
    return {key: value for key, value in keys.items() if value is not ...}


def pair(module, rank=RANK, inputs=HIDDEN, outputs=HIDDEN, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(len(module) + rank)
    return {
        f"{module}.lora_A.weight": (torch.randn(rank, inputs, generator=generator) / 7).to(dtype),
        f"{module}.lora_B.weight": (torch.randn(outputs, rank, generator=generator) / 7).to(dtype),
    }


def good():
    return pair(Q0) | pair(V0, outputs=KV_WIDTH) | pair(Q1)


def with_value(name, value, dtype):
    tensors = good()
    tensor = tensors[name].to(dtype)
    tensor[-1, -1] = value
    return tensors | {name: tensor}


def renamed(old, new):
    return {name.replace(old, new): tensor for name, tensor in good().items()}


def file_of(header, data=b""):
    """A safetensors file of this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def two_tensors(first, second, data_bytes):
    """Two bf16 tensors of 48 x 2 and 2 x 48 at the given offsets."""
    return file_of(
        {
            f"{Q0}.lora_A.weight": {"dtype": "BF16", "shape": [RANK, HIDDEN], "data_offsets": first},
            f"{Q0}.lora_B.weight": {"dtype": "BF16", "shape": [HIDDEN, RANK], "data_offsets": second},
        },
        bytes(data_bytes),
    )


def one_tensor(dtype, shape, offsets, data_bytes):
    return file_of({f"{Q0}.lora_A.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, bytes(data_bytes))


def broken_files():
    """name -> bytes of adapter_model.safetensors that E_SAFETENSORS must refuse."""
    whole = save(good())
    entry = json.dumps({"dtype": "BF16", "shape": [RANK, HIDDEN], "data_offsets": [0, 192]})
    name = json.dumps(f"{Q0}.lora_A.weight")
    return {
        "overlap": two_tensors([0, 192], [96, 288], 288),
        "hole": two_tensors([0, 192], [200, 392], 392),
        "hole_at_start": two_tensors([8, 200], [200, 392], 392),
        "truncated": whole[:-16],
        "bytes_behind": whole + bytes(8),
        "no_bytes": b"",
        "seven_bytes": whole[:7],
        "header_beyond_file": struct.pack("<Q", len(whole)) + whole[8:],
        "header_too_long": struct.pack("<Q", 1 << 40) + whole[8:],
        "header_length_overflows": struct.pack("<Q", (1 << 64) - 4) + whole[8:],
        "header_not_json": file_of(b"{not json"),
        "header_not_object": file_of(b"[1, 2]"),
        "name_twice": file_of(f"{{{name}:{entry},{name}:{entry}}}".encode(), bytes(192)),
        "shape_overflows": one_tensor("BF16", [1 << 33, 1 << 33], [0, 192], 192),
        "shape_wraps_to_size": one_tensor("BF16", [1 << 63, 2, 96], [0, 0], 0),
        "size_not_shape": one_tensor("BF16", [RANK, HIDDEN], [0, 190], 190),
        "negative_shape": one_tensor("BF16", [-RANK, -HIDDEN], [0, 192], 192),
        "fraction_in_shape": one_tensor("BF16", [2.5, HIDDEN], [0, 240], 240),
        "offsets_backwards": two_tensors([192, 0], [192, 384], 384),
        "offsets_missing": file_of({f"{Q0}.lora_A.weight": {"dtype": "BF16", "shape": [RANK, HIDDEN]}}, bytes(192)),
    }


def options():
    """name -> (config changes, code, mentions): configs that ask for what is not served."""
    unsupported = {
        "layer_replication": [[0, 1], [0, 2]],
        "target_parameters": ["mlp.experts.down_proj"],
        "trainable_token_indices": [3],
        "use_qalora": True,
        "use_bdlora": {"nblocks": 2},
        "kasa_config": {"beta": 0.1},
        "arrow_config": {"top_k": 2},
        "use_some_future_variant": True,
        "modules_to_save": ["norm"],
    }
    made = {key: ({key: value}, "E_UNSUPPORTED_OPTION", [key]) for key, value in unsupported.items()}
    for scheme in ("pissa", "pissa_niter_4", "corda", "loftq", "some_future_scheme"):
        made[f"init_{scheme}"] = ({"init_lora_weights": scheme}, "E_BASE_MUTATED", [scheme])
    for kind in ("VERA", "IA3", "ADALORA", "PROMPT_TUNING", "SOME_FUTURE_TYPE"):
        made[f"peft_type_{kind.lower()}"] = ({"peft_type": kind}, "E_PEFT_TYPE", [kind, "LORA"])
    made |= {
        "peft_type_missing": ({"peft_type": ...}, "E_PEFT_TYPE", ["peft_type"]),
        "task_seq_cls": ({"task_type": "SEQ_CLS"}, "E_TASK", ["SEQ_CLS"]),
        "task_token_cls": ({"task_type": "TOKEN_CLS"}, "E_TASK", ["TOKEN_CLS"]),
        "dora_without_magnitudes": ({"use_dora": True}, "E_PAIR", ["use_dora", "lora_magnitude_vector"]),
        "lora_bias_missing": ({"lora_bias": True}, "E_PAIR", ["lora_bias"]),
        "bias_of_unknown_kind": ({"bias": "some"}, "E_UNSUPPORTED_OPTION", ["bias", "some"]),
        "alpha_null": ({"lora_alpha": None}, "E_SCALE", ["lora_alpha"]),
        "r_zero": ({"r": 0}, "E_SCALE", []),
        "r_negative": ({"r": -2}, "E_RANK", ["-2"]),
        "alpha_missing": ({"lora_alpha": ...}, "E_SCALE", ["lora_alpha"]),
        "r_missing": ({"r": ...}, "E_SCALE", []),
        "rank_not_config": ({"r": 5}, "E_RANK", ["2", "5"]),
        "rank_not_pattern": ({"rank_pattern": {"q_proj": 3}}, "E_RANK", ["2", "3", "q_proj"]),
        "pattern_not_closed": ({"rank_pattern": {"(q_proj": 2}}, "E_PATTERN", ["(q_proj"]),
        "pattern_too_long": ({"alpha_pattern": {"|".join(["q_proj"] * 800): 3}}, "E_PATTERN", []),
        "wrong_type_alpha": ({"lora_alpha": "16"}, "E_BAD_JSON", ["lora_alpha"]),
        "wrong_type_pattern": ({"rank_pattern": ["q_proj"]}, "E_BAD_JSON", ["rank_pattern"]),
    }
    return made


def bad_tensors():
    """name -> (tensors, code, mentions) under a plain config."""
    norm = {"base_model.model.model.layers.0.input_layernorm.weight": torch.ones(HIDDEN, dtype=torch.bfloat16)}
    tokens = "base_model.model.model.embed_tokens."
    embedding = {f"{tokens}lora_embedding_A": torch.ones(RANK, 101), f"{tokens}lora_embedding_B": torch.ones(HIDDEN, RANK)}
    q0_a, q0_b = f"{Q0}.lora_A.weight", f"{Q0}.lora_B.weight"
    short = "layers.0.self_attn.q_proj"
    without = lambda name: {key: value for key, value in good().items() if key != name}  # noqa: E731
    return {
        "integer_dtype": (good() | {q0_a: torch.ones(RANK, HIDDEN, dtype=torch.int32)}, "E_DTYPE", [short, "I32"]),
        "float8_dtype": (good() | {q0_a: torch.ones(RANK, HIDDEN).to(torch.float8_e4m3fn)}, "E_DTYPE", [short, "F8"]),
        "no_tensors": ({}, "E_EMPTY", []),
        "zero_size_tensors": ({name: torch.zeros(0, dtype=torch.bfloat16) for name in good()}, "E_EMPTY", ["ZeRO"]),
        "nan_bf16": (with_value(q0_b, float("nan"), torch.bfloat16), "E_NONFINITE", [short]),
        "inf_fp16": (with_value(q0_a, float("inf"), torch.float16), "E_NONFINITE", [short]),
        "minus_inf_fp32": (with_value(q0_a, float("-inf"), torch.float32), "E_NONFINITE", [short]),
        "unknown_tensor": (good() | {f"{Q0}.lora_C.weight": torch.ones(RANK, RANK)}, "E_UNKNOWN_TENSOR", ["lora_C"]),
        "norm_tensor": (good() | norm, "E_UNKNOWN_TENSOR", ["input_layernorm"]),
        "embedding_lora": (good() | embedding, "E_UNSUPPORTED_OPTION", ["lora_embedding"]),
        "no_prefix": (renamed("base_model.model.", ""), "E_UNKNOWN_TENSOR", ["base_model.model."]),
        "same_part_twice": (good() | {f"{Q0}.lora_A.default.weight": good()[q0_a]}, "E_UNKNOWN_TENSOR", [short]),
        "unknown_module": (renamed("v_proj", "vv_proj"), "E_UNKNOWN_MODULE", ["vv_proj", "v_proj"]),
        "unknown_layer": (renamed("layers.1.", "layers.7."), "E_UNKNOWN_MODULE", ["layers.7.self_attn.q_proj"]),
        "other_prefix": (renamed("model.layers", "model.language_model.layers"), "E_UNKNOWN_MODULE", ["language_model"]),
        "magnitudes_without_use_dora": (good() | {f"{Q0}.lora_magnitude_vector": torch.ones(HIDDEN)}, "E_PAIR", ["use_dora", short]),
        "a_without_b": (without(q0_b), "E_PAIR", [short]),
        "b_without_a": (without(q0_a), "E_PAIR", [short]),
        "rank_a_not_b": (good() | {q0_b: torch.ones(HIDDEN, RANK + 1)}, "E_RANK", [short]),
        "wrong_shape_out": (good() | pair(V0, outputs=HIDDEN), "E_SHAPE", ["v_proj", "16", "48"]),
        "wrong_shape_in": (good() | pair(Q1, inputs=64), "E_SHAPE", ["layers.1.self_attn.q_proj", "48", "64"]),
        "three_dimensions": (good() | {q0_a: torch.ones(RANK, HIDDEN, 1)}, "E_SHAPE", [short]),
        "wrong_base": (pair(Q0, inputs=64, outputs=64) | pair(V0, inputs=64, outputs=32), "E_WRONG_BASE", ["64", "48", "golden/mix32"]),
    }


def write(folder, code, mentions, config_bytes, weights, weights_name="adapter_model.safetensors"):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "expected.json").write_text(json.dumps({"code": code, "mentions": mentions}) + "\n")
    if config_bytes is not None:
        (folder / "adapter_config.json").write_bytes(config_bytes)
    if weights is not None:
        (folder / weights_name).write_bytes(weights)


def encoded(keys):
    return (json.dumps(keys, indent=2) + "\n").encode()


def make(out: Path):
    root = out / "refused"
    shutil.rmtree(root, ignore_errors=True)
    plain, weights = encoded(config()), save(good())

    write(root / "no_config", "E_NO_CONFIG", ["adapter_config.json"], None, weights)
    write(root / "config_cut_off", "E_BAD_JSON", [], plain[:-20], weights)
    write(root / "config_is_a_list", "E_BAD_JSON", [], encoded([config()]), weights)
    write(root / "config_is_empty", "E_BAD_JSON", [], b"", weights)
    write(
        root / "config_key_twice",
        "E_BAD_JSON",
        ["lora_alpha"],
        plain.replace(b'"lora_alpha": 4', b'"lora_alpha": 4, "lora_alpha": 8'),
        weights,
    )
    write(root / "config_alpha_nan", "E_BAD_JSON", [], plain.replace(b'"lora_alpha": 4', b'"lora_alpha": NaN'), weights)
    write(root / "pickle_only", "E_PICKLE", ["adapter_model.bin"], plain, b"\x80\x02}q\x00.", "adapter_model.bin")
    write(root / "no_weights", "E_SAFETENSORS", ["adapter_model.safetensors"], plain, None)
    for name, data in broken_files().items():
        write(root / f"file_{name}", "E_SAFETENSORS", [], plain, data)
    tokens = good() | {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": torch.ones(1, HIDDEN)}
    norm = good() | {"base_model.model.model.norm.weight": torch.ones(HIDDEN)}
    special = {"trainable_token_indices": tokens, "modules_to_save": norm}
    for name, (changes, code, mentions) in options().items():
        write(root / name, code, mentions, encoded(config(**changes)), save(special.get(name, good())))
    for name, (tensors, code, mentions) in bad_tensors().items():
        write(root / name, code, mentions, plain, save(tensors))
    print(f"refused: {len(list(root.iterdir()))} folders")
