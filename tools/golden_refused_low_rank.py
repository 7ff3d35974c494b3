"""Folders of AdaLoRA, LoHa and VB-LoRA that must be refused, each for one reason."""

import torch

HIDDEN, KV_WIDTH, RANK = 48, 16, 2  # of mix32
Q0, V0 = (f"base_model.model.model.layers.0.self_attn.{name}" for name in ("q_proj", "v_proj"))
VECTORS, LENGTH = 6, 16
BANK = "base_model.vblora_vector_bank"


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) / 7


def adalora_config(**changes):
    keys = {"init_r": RANK, "lora_alpha": 4, "peft_type": "ADALORA", "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    return keys | changes


def adalora(rank=RANK):
    tensors = {}
    for module, outputs in ((Q0, HIDDEN), (V0, KV_WIDTH)):
        tensors |= {f"{module}.lora_A": numbers(rank, HIDDEN), f"{module}.lora_B": numbers(outputs, rank)}
        tensors[f"{module}.lora_E"] = numbers(rank, 1)
    return tensors


def mask(*kept):
    return {"rank_pattern": {f"model.layers.0.self_attn.{name}.lora_E": list(kept) for name in ("q_proj", "v_proj")}}


def loha_config(**changes):
    return {"alpha": 4, "peft_type": "LOHA", "r": RANK, "target_modules": ["v_proj"], "task_type": "CAUSAL_LM"} | changes


def loha(rank=RANK):
    matrices = {f"{V0}.hada_w{i}_a": numbers(KV_WIDTH, rank) for i in (1, 2)}
    return matrices | {f"{V0}.hada_w{i}_b": numbers(rank, HIDDEN) for i in (1, 2)}


def vblora_config(**changes):
    keys = {"num_vectors": VECTORS, "peft_type": "VBLORA", "r": RANK, "target_modules": ["v_proj"], "task_type": "CAUSAL_LM"}
    return keys | {"vector_length": LENGTH} | changes


def vblora():
    a, b = numbers(RANK, HIDDEN // LENGTH, VECTORS), numbers(KV_WIDTH // LENGTH, RANK, VECTORS)
    return {f"{V0}.vblora_logits_A": a, f"{V0}.vblora_logits_B": b, BANK: numbers(VECTORS, LENGTH)}


def top_weights(index=0, weight=0.75, dtype=torch.uint8):
    """With one index and one weight that may be at fault."""
    tensors = {BANK: numbers(VECTORS, LENGTH)}
    for name, tiles in (("A", (RANK, HIDDEN // LENGTH)), ("B", (KV_WIDTH // LENGTH, RANK))):
        indices = torch.tensor([1, 3]).expand(*tiles, 2).clone()
        weights = torch.full((*tiles, 1), 0.75)
        indices[0, 0, 1], weights[0, 0, 0] = index, weight
        tensors[f"{V0}.vblora_logits_{name}_topk_indices"] = indices.to(dtype)
        tensors[f"{V0}.vblora_logits_{name}_topk_weights"] = weights
    return tensors


def with_value(tensors, name, value):
    tensors[name].view(-1)[-1] = value
    return tensors


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


def faults():
    """name -> (config, tensors, code, mentions)."""
    q, v = "layers.0.self_attn.q_proj", "layers.0.self_attn.v_proj"
    e = f"{Q0}.lora_E"
    large = with_value(with_value(adalora(), e, 3e38), f"{Q0}.lora_A", 10.0)
    top = vblora_config(save_only_topk_weights=True)
    old_names = {f"{name}.weight" if name.endswith(("_A", "_B")) else name: tensor for name, tensor in adalora().items()}
    zero_3 = {name: torch.zeros(0) for name in adalora()}
    return {
        "adalora_rank_not_mask": (adalora_config(**mask(True, False)), adalora(), "E_RANK", ["expected rank 1", q]),
        "adalora_rank_not_init_r": (adalora_config(init_r=12), adalora(), "E_RANK", ["expected rank 12", q]),
        "adalora_mask_too_long": (adalora_config(**mask(True, True, True)), adalora(), "E_RANK", ["init_r", q]),
        "adalora_mask_of_numbers": (adalora_config(**mask(1, 1)), adalora(), "E_BAD_JSON", ["rank_pattern", q]),
        "adalora_rank_pattern_of_lora": (adalora_config(rank_pattern={"q_proj": 2}), adalora(), "E_BAD_JSON", ["rank_pattern"]),
        "adalora_without_e": (adalora_config(), without(adalora(), e), "E_PAIR", [q, "lora_E"]),
        "adalora_e_is_a_vector": (adalora_config(), adalora() | {e: numbers(RANK)}, "E_SHAPE", [q, "lora_E"]),
        "adalora_all_pruned": (adalora_config(**mask(False, False)), adalora(0), "E_EMPTY", ["2 modules"]),
        "adalora_zero_size": (adalora_config(), zero_3, "E_EMPTY", ["ZeRO"]),
        "adalora_pruned_other_base": (
            adalora_config(rank_pattern={f"model.{q}.lora_E": [False, False]}),
            adalora() | {f"{Q0}.lora_A": numbers(0, 64), f"{Q0}.lora_B": numbers(HIDDEN, 0), e: numbers(0, 1)},
            "E_SHAPE",
            [q, "48", "64"],
        ),
        "adalora_nan_in_e": (adalora_config(), with_value(adalora(), e, float("nan")), "E_NONFINITE", [q, "lora_E"]),
        "adalora_overflow": (adalora_config(), large, "E_NONFINITE", [q, "lora_E"]),
        "adalora_dora": (adalora_config(use_dora=True), adalora(), "E_UNSUPPORTED_OPTION", ["use_dora"]),
        "adalora_names_of_lora": (adalora_config(), old_names, "E_UNKNOWN_TENSOR", [q, "lora_A.weight"]),
        "loha_rank_9": (loha_config(r=9), loha(9), "E_RANK", [v, "81", "save_as_lora"]),
        "loha_rank_not_config": (loha_config(r=3), loha(), "E_RANK", [v, "expected rank 3"]),
        "loha_incomplete": (loha_config(), without(loha(), f"{V0}.hada_w2_b"), "E_PAIR", [v, "hada_w2_b"]),
        "loha_unequal_shapes": (loha_config(), loha() | {f"{V0}.hada_w2_a": numbers(KV_WIDTH, 3)}, "E_SHAPE", [v, "hada_w2_a"]),
        "loha_convolution": (loha_config(), loha() | {f"{V0}.hada_t1": numbers(RANK, RANK, 1, 1)}, "E_UNSUPPORTED_OPTION", ["hada_t1"]),
        "loha_inf": (loha_config(), with_value(loha(), f"{V0}.hada_w1_b", float("inf")), "E_NONFINITE", [v, "hada_w1_b"]),
        "loha_without_alpha": (without(loha_config(), "alpha"), loha(), "E_SCALE", ["alpha"]),
        "vblora_module_without_name": (
            vblora_config(), vblora() | {"base_model.model..vblora_logits_B": torch.ones(1, 1, 1)}, "E_UNKNOWN_TENSOR", ["..vblora_logits_B"]
        ),
        "vblora_without_bank": (vblora_config(), without(vblora(), BANK), "E_PAIR", [BANK]),
        "vblora_bank_not_config": (vblora_config(num_vectors=7), vblora(), "E_SHAPE", [BANK, "[7, 16]", "[6, 16]"]),
        "vblora_topk_above_bank": (vblora_config(topk=7), vblora(), "E_INDEX", ["topk", "6"]),
        "vblora_index_above_bank": (top, top_weights(index=6), "E_INDEX", [v, "below 6", "found 6"]),
        "vblora_index_negative": (top, top_weights(index=-1, dtype=torch.int16), "E_INDEX", [v, "-1"]),
        "vblora_index_twice": (top, top_weights(index=1), "E_INDEX", [v, "found 1 twice"]),
        "vblora_indices_of_floats": (top, top_weights(dtype=torch.float32), "E_DTYPE", [v, "F32"]),
        "vblora_weights_above_one": (top, top_weights(weight=1.5), "E_NONFINITE", [v, "topk_weights"]),
        "vblora_nan_in_bank": (vblora_config(topk=6), with_value(vblora(), BANK, float("nan")), "E_NONFINITE", [BANK]),
        "vblora_other_mode": (vblora_config(), top_weights(), "E_PAIR", ["save_only_topk_weights"]),
        "vblora_rank_not_config": (vblora_config(r=3), vblora(), "E_RANK", [v, "expected rank 3"]),
    }
