"""Folders of SHiRA and BD-LoRA that must be refused, each for one reason."""

import torch

HIDDEN, KV_WIDTH, RANK = 48, 16, 2  # of mix32
Q0, V0 = (f"base_model.model.model.layers.0.self_attn.{name}" for name in ("q_proj", "v_proj"))
EMBEDDING = "base_model.model.model.embed_tokens"
COUNT = HIDDEN + KV_WIDTH  # elements of v_proj with r 1


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) / 7


def shira_config(**changes):
    return {"peft_type": "SHIRA", "r": 1, "target_modules": ["v_proj"], "task_type": "CAUSAL_LM"} | changes


def shira(count=COUNT, dtype=torch.int32, row=0, column=0):
    """The last element is at (row, column)."""
    places = torch.arange(count) * 7
    indices = torch.stack([places // HIDDEN % KV_WIDTH, places % HIDDEN]).to(dtype)
    indices[:, -1] = torch.tensor([row, column]).to(dtype)
    return {f"{V0}.shira_weight": numbers(count), f"{V0}.shira_indices": indices}


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


def shira_faults():
    v = "layers.0.self_attn.v_proj"
    weight, indices = f"{V0}.shira_weight", f"{V0}.shira_indices"
    plain = shira_config()
    other_weight = {f"{V0}.weight": numbers(KV_WIDTH, HIDDEN)}
    return {
        "shira_row_above_base": (plain, shira(row=KV_WIDTH), "E_INDEX", [v, "rows from 0 to 15", "found 16"]),
        "shira_column_above_base": (plain, shira(column=HIDDEN), "E_INDEX", [v, "columns from 0 to 47", "found 48"]),
        "shira_row_negative": (plain, shira(row=-1), "E_INDEX", [v, "found -1"]),
        "shira_column_negative": (plain, shira(column=-3, dtype=torch.int64), "E_INDEX", [v, "found -3"]),
        "shira_index_far": (plain, shira(column=2**32, dtype=torch.int64), "E_INDEX", [v, "found 4294967296"]),
        "shira_index_not_whole": (plain, shira(column=2.5, dtype=torch.float32), "E_INDEX", [v, "whole numbers", "2.5"]),
        "shira_index_nan": (plain, shira(row=float("nan"), dtype=torch.float32), "E_INDEX", [v, "whole numbers"]),
        "shira_indices_of_bf16": (plain, shira(dtype=torch.bfloat16), "E_DTYPE", [v, "shira_indices", "BF16"]),
        "shira_weight_of_integers": (plain, shira() | {weight: torch.ones(COUNT, dtype=torch.int32)}, "E_DTYPE", [v, "I32"]),
        "shira_without_indices": (plain, without(shira(), indices), "E_PAIR", [v, "shira_indices"]),
        "shira_without_weight": (plain, without(shira(), weight), "E_PAIR", [v, "shira_weight"]),
        "shira_indices_of_other_count": (plain, shira() | {weight: numbers(COUNT - 1)}, "E_SHAPE", [v, "[2, 63]", "[2, 64]"]),
        "shira_indices_transposed": (plain, shira() | {indices: shira()[indices].T.contiguous()}, "E_SHAPE", [v, "[2, 64]", "[64, 2]"]),
        "shira_count_not_config": (shira_config(r=2), shira(), "E_SHAPE", [v, "2 x 64", "[64]"]),
        "shira_other_base": (plain, shira(count=48 + 32), "E_SHAPE", [v, "48 inputs", "16 outputs", "[80]"]),
        "shira_rank_zero": (shira_config(r=0), shira(), "E_SCALE", ["r"]),
        "shira_infinite": (plain, shira() | {weight: torch.full((COUNT,), float("inf"))}, "E_NONFINITE", [v, "shira_weight"]),
        "shira_overflow": (plain, shira() | {weight: torch.full((COUNT,), 1e30)}, "E_NONFINITE", [v, "shira_weight"]),
        "shira_empty": (plain, {weight: numbers(0), indices: torch.zeros(2, 0, dtype=torch.int32)}, "E_EMPTY", [v]),
        "shira_unknown_tensor": (plain, shira() | {f"{V0}.shira_mask": numbers(COUNT)}, "E_UNKNOWN_TENSOR", ["shira_mask", "SHiRA"]),
        "shira_unknown_module": (plain, {name.replace("v_proj", "w_proj"): tensor for name, tensor in shira().items()}, "E_UNKNOWN_MODULE", ["w_proj"]),
        "shira_embedding": (plain, {name.replace(V0, EMBEDDING): tensor for name, tensor in shira().items()}, "E_UNSUPPORTED_OPTION", ["embed_tokens"]),
        "shira_saved_linear": (plain, shira() | other_weight, "E_UNSUPPORTED_OPTION", ["v_proj", "modules_to_save"]),
        "shira_bias": (shira_config(bias="all"), shira(), "E_UNSUPPORTED_OPTION", ["bias", "SHiRA"]),
        "shira_key_of_lora": (shira_config(lora_alpha=4), shira(), "E_UNSUPPORTED_OPTION", ["lora_alpha", "SHiRA"]),
    }


def bdlora_config(blocks, **changes):
    keys = {"lora_alpha": 4, "peft_type": "LORA", "r": RANK, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    return keys | {"use_bdlora": {"target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["v_proj"], "nblocks": 2} | blocks} | changes


def bdlora(a_columns=HIDDEN // 2, b_columns=RANK // 2, rank=RANK):
    q = {f"{Q0}.lora_A.weight": numbers(rank, a_columns), f"{Q0}.lora_B.weight": numbers(HIDDEN, rank)}
    return q | {f"{V0}.lora_A.weight": numbers(rank, HIDDEN), f"{V0}.lora_B.weight": numbers(KV_WIDTH, b_columns)}


def bdlora_faults():
    q, v = "layers.0.self_attn.q_proj", "layers.0.self_attn.v_proj"
    infinite = bdlora() | {f"{Q0}.lora_A.weight": torch.full((RANK, HIDDEN // 2), float("inf"))}
    embedding = {f"{EMBEDDING}.lora_embedding_A": numbers(RANK, 101), f"{EMBEDDING}.lora_embedding_B": numbers(HIDDEN, RANK)}
    return {
        "bdlora_in_both_lists": (bdlora_config({"target_modules_bd_b": ["v_proj", "self_attn"]}), bdlora(), "E_UNSUPPORTED_OPTION", ["use_bdlora", q, "both"]),
        "bdlora_in_no_list": (bdlora_config({"target_modules_bd_b": None}), bdlora(), "E_UNSUPPORTED_OPTION", ["use_bdlora", v, "neither"]),
        "bdlora_whole_a": (bdlora_config({}), bdlora(a_columns=HIDDEN), "E_SHAPE", [q, "48", "96"]),
        "bdlora_whole_b": (bdlora_config({}), bdlora(b_columns=RANK), "E_RANK", [v, "lora_B", "blocks"]),
        "bdlora_blocks_do_not_divide_rank": (bdlora_config({"nblocks": 4}), bdlora(a_columns=12, b_columns=1), "E_SHAPE", [q, "lora_A", "nblocks"]),
        "bdlora_blocks_do_not_divide_outputs": (
            bdlora_config({"nblocks": 3, "target_modules_bd_a": None, "match_strict": False}, r=3), bdlora(HIDDEN, 1, 3), "E_SHAPE", [v, "lora_B", "nblocks"]
        ),
        "bdlora_no_blocks": (bdlora_config({"nblocks": 0}), bdlora(), "E_RANK", ["nblocks"]),
        "bdlora_rank_not_config": (bdlora_config({}, r=4), bdlora(), "E_RANK", [q, "4"]),
        "bdlora_unknown_key": (bdlora_config({"block_size": 4}), bdlora(), "E_UNSUPPORTED_OPTION", ["use_bdlora", "block_size"]),
        "bdlora_not_an_object": (bdlora_config({}, use_bdlora=True), bdlora(), "E_BAD_JSON", ["use_bdlora"]),
        "bdlora_dora": (bdlora_config({}, use_dora=True), bdlora(), "E_UNSUPPORTED_OPTION", ["use_bdlora", "use_dora"]),
        "bdlora_with_lora_bias": (bdlora_config({}, lora_bias=True), bdlora(), "E_UNSUPPORTED_OPTION", ["use_bdlora", "lora_bias"]),
        "bdlora_embedding": (bdlora_config({"match_strict": False}), bdlora() | embedding, "E_UNSUPPORTED_OPTION", ["use_bdlora", "embed_tokens"]),
        "bdlora_infinite": (bdlora_config({}), infinite, "E_NONFINITE", [q, "lora_A"]),
    }


def faults():
    """name -> (config, tensors, code, mentions)."""
    return shira_faults() | bdlora_faults()
