"""SHiRA, whose matrices are sparse, and BD-LoRA, whose A or B is zero outside of the blocks on its diagonal."""

import torch
from peft import BdLoraConfig, LoraConfig, ShiraConfig

from golden_adapters import EVERY_LINEAR
from golden_families import Family

SHIRA_SIZES = {"shira_weight": 0.2}


def shira(r, targets, **keys):
    return ShiraConfig(task_type="CAUSAL_LM", r=r, random_seed=r, target_modules=list(targets), **keys)


def indices_of(tensors):
    return {name: tensor for name, tensor in tensors.items() if name.endswith("shira_indices")}


def float_indices(tensors):
    """As PEFT saves them on Windows."""
    return tensors | {name: indices.to(torch.float32) for name, indices in indices_of(tensors).items()}


def unsorted_indices(tensors):
    """In another order, every tenth of them the same place as its neighbour."""
    changed = {}
    for name, indices in indices_of(tensors).items():
        order = torch.randperm(indices.shape[1], generator=torch.Generator().manual_seed(indices.shape[1]))
        changed[name] = indices[:, order].to(torch.int64)
        changed[name][:, 1::10] = changed[name][:, 0::10][:, : changed[name][:, 1::10].shape[1]]
    return tensors | changed


def raw_names(name):
    return name + ".default" if ".shira_" in name else name


def bdlora(rank, alpha, targets, in_a, in_b, blocks, **keys):
    """Blocks in A of the modules of one list, in B of those of the other."""
    strict = all(any(name in target for name in (*in_a, *in_b)) for target in targets)
    options = BdLoraConfig(target_modules_bd_a=list(in_a), target_modules_bd_b=list(in_b), nblocks=blocks, match_strict=strict)
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, target_modules=list(targets), use_bdlora=options, **keys)


LORA_SIZES = {"lora_A": 0.125, "lora_B": 0.1}
COLUMNS, ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"), ("o_proj", "down_proj")  # as servers split the base's weights
BDLORA_PATTERN = {"rank_pattern": {"layers.1.self_attn.q_proj": 8, "up_proj": 2}}

SPARSE = (
    Family("shira", shira(2, EVERY_LINEAR), SHIRA_SIZES),
    Family("shira_float_indices", shira(1, EVERY_LINEAR), SHIRA_SIZES | {"shira_weight": 0.4}, file=float_indices),
    Family("shira_bf16", shira(3, ("k_proj", "o_proj", "gate_proj")), SHIRA_SIZES, torch.bfloat16),
    Family("shira_unsorted", shira(2, ("q_proj", "o_proj", "down_proj")), SHIRA_SIZES | {"shira_weight": 0.3}, file=unsorted_indices),
    Family("shira_saved", shira(2, ("k_proj", "up_proj"), modules_to_save=["norm"]), SHIRA_SIZES, around_one=("norm.modules_to_save",)),
    Family("shira_lm_head", shira(5, ("v_proj", "lm_head")), SHIRA_SIZES, rename=raw_names),
    Family("bdlora", bdlora(4, 8, EVERY_LINEAR, ROWS, COLUMNS, 2), LORA_SIZES),
    Family("bdlora_other_factors", bdlora(8, 8, ("v_proj", "down_proj"), ("v_proj",), ("down_proj",), 4), LORA_SIZES, torch.bfloat16),
    Family("bdlora_beside_lora", bdlora(4, 8, EVERY_LINEAR, ("layers.0.self_attn.o",), ("q_proj", "mlp.up"), 2, **BDLORA_PATTERN), LORA_SIZES, edit=BDLORA_PATTERN),
)
