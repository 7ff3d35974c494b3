"""Adapters that change more than linear modules: norms, the embedding, the head, and rows of trained tokens."""

import torch
from peft import LNTuningConfig, LoraConfig, TaskType, TrainableTokensConfig

from golden_families import LORA_SIZES, Family
from golden_families_gains import HIRA_SIZES, VERA_SIZES, hira, ia3, vera
from golden_families_low_rank import ADALORA_SIZES, LOHA_SIZES, VBLORA_SIZES, adalora, loha, vblora


def lora(targets=("q_proj", "v_proj"), **keys):
    return LoraConfig(task_type=TaskType.CAUSAL_LM, r=keys.pop("r", 4), lora_alpha=8, target_modules=list(targets), **keys)


def ln_tuning(targets=None):
    return LNTuningConfig(task_type=TaskType.CAUSAL_LM, target_modules=targets and list(targets))


def tokens(indices, targets=None):
    return TrainableTokensConfig(task_type=TaskType.CAUSAL_LM, token_indices=indices, target_modules=targets and list(targets))


def raw_names(name):
    return name.replace("ln_tuning_layers.", "ln_tuning_layers.default.").replace("_delta", "_delta.default")


NORMS = ("norm.modules_to_save",)
COPIES = ("norm.ln_tuning_layers",)
SAVED_EMBEDDING = {"embed_tokens.modules_to_save": 1.0}
SAVED_HEAD = {"lm_head.modules_to_save": 0.12}
ROWS = {"trainable_tokens_delta": 0.6}
EMBEDDING = {"lora_embedding_A": 0.3, "lora_embedding_B": 0.3}
# PEFT saves the whole weight next to LoRA of the embedding or the head, and serves what it saved.
SAVED = (
    Family("mts_norm", lora(modules_to_save=["norm"]), LORA_SIZES, around_one=NORMS),
    Family("mts_embed_head_norm", lora(modules_to_save=["embed_tokens", "lm_head", "norm"]), LORA_SIZES | {"embed_tokens.modules_to_save": 1.0, "lm_head.modules_to_save": 0.12}, around_one=NORMS),
    Family("emb_lora_with_base_layer", lora(("q_proj", "embed_tokens")), LORA_SIZES | EMBEDDING),
    Family("lm_head_lora", lora(("v_proj", "lm_head")), LORA_SIZES),
    Family("tokens_list", lora(trainable_token_indices=[90, 3, 17, 41, 64]), LORA_SIZES | {"trainable_tokens_delta": 1.0}, tokens=(3, 41, 90)),
    Family("tokens_map", lora(trainable_token_indices={"embed_tokens": [5, 96], "lm_head": [0, 41, 7]}), LORA_SIZES | {"trainable_tokens_delta": 0.3}, tokens=(96, 5, 5)),
    # Tokens after the base's 97, as of a model whose embeddings were resized.
    Family("grown_mts", lora(modules_to_save=["embed_tokens", "lm_head"]), LORA_SIZES | {"embed_tokens.modules_to_save": 1.0, "lm_head.modules_to_save": 0.12}, tokens=(99, 4, 97), added=3),
    Family("grown_tokens", lora(trainable_token_indices={"embed_tokens": [98, 5, 97], "lm_head": [98, 97, 0, 41]}), LORA_SIZES | {"trainable_tokens_delta": 0.3}, tokens=(97, 5, 98), added=2),
    Family("grown_emb_lora", lora(("q_proj", "embed_tokens"), modules_to_save=["lm_head"]), LORA_SIZES | EMBEDDING | {"lm_head.modules_to_save": 0.12}, tokens=(101, 97), added=5),
    Family("ia3_mts", ia3(("v_proj", "down_proj"), ("down_proj",), modules_to_save=["norm", "lm_head"]), SAVED_HEAD, around_one=("ia3_l", *NORMS)),
    Family("vera_mts", vera(6, ("q_proj", "v_proj"), modules_to_save=["norm", "embed_tokens"]), VERA_SIZES | SAVED_EMBEDDING, around_one=NORMS),
    Family("adalora_mts", adalora(3, 4, ("k_proj", "lm_head"), modules_to_save=["norm"]), ADALORA_SIZES, around_one=NORMS),
    Family("adalora_tokens", adalora(3, 4, ("v_proj",), trainable_token_indices=[8, 90, 2]), ADALORA_SIZES | ROWS, tokens=(90, 2, 8)),
    Family("hira_mts", hira(2, ("q_proj", "up_proj"), modules_to_save=["norm", "lm_head"]), HIRA_SIZES | SAVED_HEAD, around_one=NORMS),
    Family("loha_mts", loha(2, 4, ("v_proj", "o_proj"), modules_to_save=["norm"]), LOHA_SIZES, around_one=NORMS),
    Family("vblora_mts", vblora(2, ("v_proj", "o_proj"), num_vectors=20, vector_length=8, modules_to_save=["embed_tokens"]), VBLORA_SIZES | SAVED_EMBEDDING),
    Family("ln_tuning", ln_tuning(), around_one=COPIES),
    Family("ln_tuning_embed_head", ln_tuning(("norm", "embed_tokens", "lm_head")), {"embed_tokens.ln_tuning_layers": 1.0, "lm_head.ln_tuning_layers": 0.12}, around_one=COPIES),
    Family("ln_tuning_raw_names", ln_tuning(("input_layernorm", "norm")), around_one=COPIES, rename=raw_names),
    Family("tokens_type", tokens([90, 3, 17]), ROWS, tokens=(3, 17, 90)),
    Family("tokens_type_head", tokens([5, 96], ("embed_tokens", "lm_head")), ROWS, torch.bfloat16, tokens=(96, 5)),
    Family("tokens_type_raw_names", tokens([11, 7]), ROWS, tokens=(7, 11), rename=raw_names),
)
TIED = (
    Family("grown_tokens_tied", lora(trainable_token_indices=[90, 3, 89]), LORA_SIZES | {"trainable_tokens_delta": 0.35}, tokens=(90, 3, 89), added=2),
    Family("mts_embed_tied", lora(modules_to_save=["embed_tokens"]), LORA_SIZES | {"embed_tokens.modules_to_save": 0.35}),
    Family("tokens_tied", lora(trainable_token_indices=[80, 3, 17, 41, 64]), LORA_SIZES | {"trainable_tokens_delta": 0.35}, tokens=(64, 17)),
    Family("mts_qk_norms", lora(modules_to_save=["norm"]), LORA_SIZES, around_one=NORMS),
    Family("tokens_type_tied", tokens([80, 3, 41]), ROWS, tokens=(41, 80)),
    Family("ln_tuning_qk_norms", ln_tuning(("q_norm", "k_norm", "norm")), around_one=COPIES),
)
