"""Adapter folders that must be refused, each for one reason, against the base mix32.

Each folder holds `expected.json`: the error code, and what the message must mention.
"""

import json
import shutil
import struct
from pathlib import Path

import torch
from safetensors.torch import save

import golden_refused_long
import golden_refused_low_rank
import golden_refused_sparse
import golden_refused_saved

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
        "use_qalora": True,
        "use_bdlora": {"nblocks": 2},
        "kasa_config": {"beta": 0.1},
        "arrow_config": {"top_k": 2},
        "use_some_future_variant": True,
    }
    made = {key: ({key: value}, "E_UNSUPPORTED_OPTION", [key]) for key, value in unsupported.items()}
    for scheme in ("pissa_niter_4", "corda", "loftq", "some_future_scheme"):
        made[f"init_{scheme}"] = ({"init_lora_weights": scheme}, "E_BASE_MUTATED", [scheme])
    for kind in ("LOKR", "PROMPT_TUNING", "SOME_FUTURE_TYPE"):
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
    norm = {"base_model.model.model.layers.0.input_layernorm.weight": torch.ones(HIDDEN - 1, dtype=torch.bfloat16)}
    tokens = "base_model.model.model.embed_tokens."
    embedding = {f"{tokens}lora_embedding_A": torch.ones(RANK, 99), f"{tokens}lora_embedding_B": torch.ones(HIDDEN, RANK)}
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
        "norm_of_other_size": (good() | norm, "E_SHAPE", ["input_layernorm", "48", "47"]),
        "embedding_lora_of_other_base": (good() | embedding, "E_SHAPE", ["embed_tokens"]),
        "grown_head_alone": (good() | {"base_model.model.lm_head.weight": torch.ones(120, HIDDEN)}, "E_VOCAB", ["embedding", "19"]),
        "tokens_not_listed": (good() | {f"{tokens}token_adapter.trainable_tokens_delta": torch.ones(2, HIDDEN)}, "E_PAIR", ["trainable_token_indices"]),
        "saved_linear": (good() | {f"{Q0}.weight": torch.ones(HIDDEN, HIDDEN)}, "E_UNSUPPORTED_OPTION", ["q_proj", "modules_to_save"]),
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


def family_config(peft_type, **changes):
    keys = {"base_model_name_or_path": "golden/mix32", "peft_type": peft_type, "task_type": "CAUSAL_LM"}
    return keys | {"target_modules": ["q_proj", "v_proj"]} | changes


def ia3_faults():
    """name -> (config, tensors, code, mentions), as for the other families."""
    column, row = {f"{V0}.ia3_l": torch.ones(KV_WIDTH, 1)}, {f"{Q0}.ia3_l": torch.ones(1, HIDDEN)}
    plain = family_config("IA3", feedforward_modules=["q_proj"])
    infinite = {f"{V0}.ia3_l": torch.full((KV_WIDTH, 1), float("inf"))}
    return {
        "ia3_input_vector_of_no_feedforward": (
            family_config("IA3", feedforward_modules=[]), row, "E_SHAPE", ["q_proj", "[outputs, 1]", "feedforward_modules"]
        ),
        "ia3_output_vector_of_feedforward": (
            family_config("IA3", feedforward_modules=["v_proj"]), column, "E_SHAPE", ["v_proj", "[1, inputs]", "feedforward_modules"]
        ),
        "ia3_vector_too_long": (plain, column | {f"{Q0}.ia3_l": torch.ones(1, HIDDEN + 1)}, "E_SHAPE", ["q_proj", "48", "49"]),
        "ia3_wrong_base": (plain, {f"{V0}.ia3_l": torch.ones(32, 1)}, "E_WRONG_BASE", ["16", "32", "golden/mix32"]),
        "ia3_no_vector": (plain, column | {f"{Q0}.ia3_l": torch.ones(4, 12)}, "E_SHAPE", ["q_proj", "[4, 12]"]),
        "ia3_stored_bias": (plain, column | {f"{V0}.base_layer.bias": torch.ones(KV_WIDTH)}, "E_UNKNOWN_TENSOR", ["base_layer.bias"]),
        "ia3_bias_all": (family_config("IA3", bias="all"), column, "E_UNSUPPORTED_OPTION", ["bias", "IA3"]),
        "ia3_key_of_lora": (family_config("IA3", lora_alpha=4), column, "E_UNSUPPORTED_OPTION", ["lora_alpha", "IA3"]),
        "ia3_of_embedding": (family_config("IA3", feedforward_modules=["embed_tokens"]), column | {"base_model.model.model.embed_tokens.ia3_l": torch.ones(1, 4)}, "E_UNSUPPORTED_OPTION", ["embed_tokens"]),
        "ia3_of_norm": (plain, column | {"base_model.model.model.norm.ia3_l": torch.ones(HIDDEN, 1)}, "E_SHAPE", ["model.norm"]),
        "ia3_infinite": (plain, infinite, "E_NONFINITE", ["v_proj"]),
        "ia3_tensor_of_lora": (plain, column | pair(Q0), "E_UNKNOWN_TENSOR", ["lora_A", "IA3"]),
        "ia3_integers": (plain, {f"{V0}.ia3_l": torch.ones(KV_WIDTH, 1, dtype=torch.int32)}, "E_DTYPE", ["v_proj", "I32"]),
    }


def vera_faults():
    def lambdas(module, outputs, rank=RANK):
        return {f"{module}.vera_lambda_b": torch.ones(outputs), f"{module}.vera_lambda_d": torch.ones(rank)}

    def projection(inputs=HIDDEN, outputs=HIDDEN, rank=RANK):
        return {"base_model.vera_A": torch.ones(rank, inputs), "base_model.vera_B": torch.ones(outputs, rank)}

    plain = family_config("VERA", r=RANK)
    good = lambdas(Q0, HIDDEN) | lambdas(V0, KV_WIDTH)
    without = lambda name: {key: value for key, value in (good | projection()).items() if key != name}  # noqa: E731
    drawn = family_config("VERA", r=RANK, save_projection=False)
    return {
        "vera_module_without_name": (
            plain, good | projection() | {"base_model.model..vera_lambda_d": torch.ones(3)}, "E_UNKNOWN_TENSOR", ["..vera_lambda_d"]
        ),
        "vera_no_projection": (plain, good, "E_PROJECTION", ["vera_A", "save_projection"]),
        "vera_no_projection_b": (plain, without("base_model.vera_B"), "E_PROJECTION", ["vera_B"]),
        "vera_projection_too_narrow": (plain, good | projection(inputs=HIDDEN - 1), "E_PROJECTION", ["vera_A", "48", "47"]),
        "vera_projection_too_short": (plain, good | projection(outputs=HIDDEN - 1), "E_PROJECTION", ["vera_B", "48", "47"]),
        "vera_projection_of_other_rank": (plain, good | projection(rank=RANK + 1), "E_RANK", ["vera_A", "2", "3"]),
        "vera_lambda_b_alone": (plain, without(f"{Q0}.vera_lambda_d"), "E_PAIR", ["q_proj", "vera_lambda_d"]),
        "vera_lambda_d_alone": (plain, without(f"{Q0}.vera_lambda_b"), "E_PAIR", ["q_proj", "vera_lambda_b"]),
        "vera_lambda_d_too_long": (drawn, lambdas(Q0, HIDDEN, RANK + 1), "E_RANK", ["vera_lambda_d", "2", "3"]),
        "vera_lambda_b_too_long": (drawn, good | lambdas(V0, KV_WIDTH + 1), "E_SHAPE", ["v_proj", "16", "17"]),
        "vera_rank_too_large": (family_config("VERA", r=100000), good, "E_RANK", ["100000", "512"]),
        "vera_key_no_integer": (family_config("VERA", r=RANK, projection_prng_key=0.5), good, "E_BAD_JSON", ["projection_prng_key"]),
        "vera_unknown_tensor": (plain, good | projection() | {"base_model.vera_C": torch.ones(2, 2)}, "E_UNKNOWN_TENSOR", ["vera_C"]),
        "vera_nan": (drawn, good | {f"{V0}.vera_lambda_b": torch.full((KV_WIDTH,), float("nan"))}, "E_NONFINITE", ["vera_lambda_b"]),
        "vera_overflow": (
            drawn,
            {f"{Q0}.vera_lambda_b": torch.full((HIDDEN,), 1e12), f"{Q0}.vera_lambda_d": torch.full((RANK,), 1e12)},
            "E_NONFINITE",
            ["vera_B", "overflow"],
        ),
        "vera_bias_of_lora": (family_config("VERA", r=RANK, bias="lora_only"), good | projection(), "E_UNSUPPORTED_OPTION", ["lora_only"]),
    }


def hadamard_faults():
    def matrices(prefix, module, rank=RANK, inputs=HIDDEN, outputs=HIDDEN):
        return {f"{module}.{prefix}_A": torch.ones(rank, inputs), f"{module}.{prefix}_B": torch.ones(outputs, rank)}

    made = {}
    for peft_type, prefix in (("HIRA", "hira"), ("FLORA", "flora")):
        plain = family_config(peft_type, r=RANK)
        good = matrices(prefix, Q0)
        made |= {
            f"{prefix}_a_alone": (plain, good | {f"{V0}.{prefix}_A": torch.ones(RANK, HIDDEN)}, "E_PAIR", ["v_proj", f"{prefix}_B"]),
            f"{prefix}_ranks_differ": (plain, {f"{Q0}.{prefix}_A": torch.ones(3, HIDDEN), f"{Q0}.{prefix}_B": torch.ones(HIDDEN, 2)},
                                       "E_RANK", ["q_proj"]),
            f"{prefix}_rank_not_config": (family_config(peft_type, r=3), good, "E_RANK", ["2", "3"]),
            f"{prefix}_rank_too_large": (family_config(peft_type, r=33), matrices(prefix, Q0, 33), "E_RANK", ["33", "32", "product"]),
            f"{prefix}_wrong_shape": (plain, good | matrices(prefix, V0), "E_SHAPE", ["v_proj", "16", "48"]),
            f"{prefix}_infinite": (plain, good | {f"{Q0}.{prefix}_A": torch.full((RANK, HIDDEN), float("-inf"))}, "E_NONFINITE", ["q_proj"]),
            f"{prefix}_unknown_tensor": (plain, good | {f"{Q0}.{prefix}_C": torch.ones(2, 2)}, "E_UNKNOWN_TENSOR", [f"{prefix}_C"]),
            f"{prefix}_bias": (family_config(peft_type, r=RANK, bias="all"), good, "E_UNSUPPORTED_OPTION", ["bias"]),
        }
    good = matrices("flora", Q0)
    return made | {
        "hira_embedding": (
            family_config("HIRA", r=RANK),
            matrices("hira", Q0) | {"base_model.model.model.embed_tokens.hira_embedding_A": torch.ones(RANK, 101)},
            "E_UNSUPPORTED_OPTION",
            ["hira_embedding_A"],
        ),
        "flora_scale_no_number": (family_config("FLORA", r=RANK, flora_scale="1"), good, "E_BAD_JSON", ["flora_scale"]),
        "flora_scale_too_large": (family_config("FLORA", r=RANK, flora_scale=1e39), good, "E_SCALE", ["flora_scale"]),
        "flora_overflow": (
            family_config("FLORA", r=1),
            {name: 1e12 * tensor for name, tensor in matrices("flora", Q0, 1).items()},
            "E_NONFINITE",
            ["q_proj.flora_B", "overflow"],
        ),
        "flora_no_rank": (family_config("FLORA"), good, "E_SCALE", ["r"]),
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
    for name, (changes, code, mentions) in options().items():
        write(root / name, code, mentions, encoded(config(**changes)), save(good()))
    for name, (tensors, code, mentions) in bad_tensors().items():
        write(root / name, code, mentions, plain, save(tensors))
    families = ia3_faults() | vera_faults() | hadamard_faults() | golden_refused_low_rank.faults()
    families |= golden_refused_saved.faults() | golden_refused_sparse.faults()
    for name, (keys, tensors, code, mentions) in families.items():
        write(root / name, code, mentions, encoded(keys), save(tensors))
    for name, (changes, files, code, mentions) in golden_refused_long.faults().items():
        write(root / f"rope_{name}", code, mentions, encoded(config(**changes)), save(good()))
        for file, content in files.items():
            (root / f"rope_{name}" / file).write_bytes(content)
    print(f"refused: {len(list(root.iterdir()))} folders")
