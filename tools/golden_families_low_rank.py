"""Families whose update is a product of two small matrices that their files hold in another form: AdaLoRA, LoHa and VB-LoRA."""

import torch
from peft import AdaLoraConfig, LoHaConfig, VBLoRAConfig

from golden_adapters import EVERY_LINEAR
from golden_families import Family

ADALORA_SIZES = {"lora_A": 0.15, "lora_B": 0.15, "lora_E": 1.5}
SMALL_ADALORA_SIZES = ADALORA_SIZES | {"lora_E": 0.8}  # or rounding to bf16 moves the logits of so short a prompt by up to 5 %
LOHA_SIZES = {"hada_w1_a": 0.3, "hada_w1_b": 0.3, "hada_w2_a": 0.3, "hada_w2_b": 0.3}
VBLORA_SIZES = {"vblora_logits": 1.0, "vblora_vector_bank": 0.2}
BIASES = {".bias": 0.1}


def adalora(init_r, alpha, targets, **keys):
    return AdaLoraConfig(task_type="CAUSAL_LM", init_r=init_r, lora_alpha=alpha, target_modules=list(targets), total_step=100, **keys)


def pruned(kept):
    """Prunes ranks as AdaLoRA's training does: `kept` says of a module's name in its layer how many of the first are left."""

    def prune(model):
        pattern = {}
        with torch.no_grad():
            for name, tensor in model.base_model.model.named_parameters():
                if ".lora_E." not in name:
                    continue
                mask = torch.zeros(len(tensor), dtype=torch.bool)
                count = next((count for part, count in kept.items() if part in name), len(tensor))
                mask[torch.arange(len(tensor)) * 7 % len(tensor) < count] = True  # not the first ones
                tensor[~mask] = 0
                pattern[name] = mask.tolist()
        model.peft_config["default"].rank_pattern = pattern

    return prune


def zeros_in_e(model):
    """Some singular values as they are during training, when no rank is cut off yet."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if ".lora_E." in name:
                tensor[1] = 0


def raw_names(name):
    return name + ".default" if name.endswith(("lora_A", "lora_B", "lora_E")) or "hada_" in name else name


def loha(rank, alpha, targets, **keys):
    return LoHaConfig(task_type="CAUSAL_LM", r=rank, alpha=alpha, target_modules=list(targets), **keys)


def vblora(rank, targets, **keys):
    return VBLoRAConfig(task_type="CAUSAL_LM", r=rank, target_modules=list(targets), **keys)


NO_QUERIES = {"layers.1.self_attn.q_proj": 0, "v_proj": 3}
PRUNED = {"q_proj": 2, "k_proj": 5, "layers.0.mlp.down_proj": 1}
LOHA_PATTERN = {
    "rank_pattern": {"layers.1.self_attn.q_proj": 3, "q_proj": 1, "down_proj": 2},
    "alpha_pattern": {"o_proj": 5, "down_proj": 3.5},
}

TOP_ONLY = {"save_only_topk_weights": True}

LOW_RANK = (
    Family("adalora_full", adalora(6, 8, EVERY_LINEAR, bias="all"), ADALORA_SIZES | BIASES, prepare=zeros_in_e),
    Family("adalora_pruned", adalora(6, 9, EVERY_LINEAR, bias="lora_only"), SMALL_ADALORA_SIZES | BIASES, prepare=pruned(PRUNED)),
    Family("adalora_rank0_module", adalora(4, 8, EVERY_LINEAR[:4]), ADALORA_SIZES, prepare=pruned(NO_QUERIES)),
    Family("adalora_alpha0", adalora(5, 0, ("q_proj", "up_proj")), ADALORA_SIZES, torch.bfloat16, prepare=pruned({"up_proj": 2})),
    Family("adalora_raw_names", adalora(3, 4, ("k_proj", "down_proj")), ADALORA_SIZES, rename=raw_names),
    Family("loha4", loha(4, 8, EVERY_LINEAR), LOHA_SIZES),
    Family("loha8_bf16", loha(8, 8, ("v_proj", "gate_proj")), LOHA_SIZES, torch.bfloat16),
    Family("loha_patterns", loha(4, 6, EVERY_LINEAR, **LOHA_PATTERN), LOHA_SIZES, edit=LOHA_PATTERN),
    Family("loha_raw_names", loha(2, 4, ("q_proj", "o_proj")), LOHA_SIZES, rename=raw_names),
    Family("vblora", vblora(4, EVERY_LINEAR, num_vectors=12, vector_length=32, bias="vblora_only"), VBLORA_SIZES | BIASES),
    Family("vblora_topk", vblora(3, EVERY_LINEAR, num_vectors=300, vector_length=16, topk=3, **TOP_ONLY), VBLORA_SIZES),
    Family("vblora_topk_u8", vblora(2, ("q_proj", "down_proj"), num_vectors=20, vector_length=32, **TOP_ONLY), VBLORA_SIZES),
    Family("vblora_topk_of_one", vblora(2, ("v_proj", "o_proj"), num_vectors=20, vector_length=8, topk=1, **TOP_ONLY), VBLORA_SIZES),
)
