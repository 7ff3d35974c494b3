"""Adapters that change more than linear modules: norms, the embedding, the head, and rows of trained tokens."""

from peft import LoraConfig, TaskType

from golden_families import LORA_SIZES, Family


def lora(targets=("q_proj", "v_proj"), **keys):
    return LoraConfig(task_type=TaskType.CAUSAL_LM, r=keys.pop("r", 4), lora_alpha=8, target_modules=list(targets), **keys)


EMBEDDING = {"lora_embedding_A": 0.3, "lora_embedding_B": 0.3}
# PEFT saves the whole weight next to LoRA of the embedding or the head, and serves what it saved.
SAVED = (
    Family("mts_norm", lora(modules_to_save=["norm"]), LORA_SIZES, around_one=("norm.modules_to_save",)),
    Family("mts_embed_head_norm", lora(modules_to_save=["embed_tokens", "lm_head", "norm"]), LORA_SIZES | {"embed_tokens.modules_to_save": 1.0, "lm_head.modules_to_save": 0.12}, around_one=("norm.modules_to_save",)),
    Family("emb_lora_with_base_layer", lora(("q_proj", "embed_tokens")), LORA_SIZES | EMBEDDING),
    Family("lm_head_lora", lora(("v_proj", "lm_head")), LORA_SIZES),
    Family("tokens_list", lora(trainable_token_indices=[90, 3, 17, 41, 64]), LORA_SIZES | {"trainable_tokens_delta": 1.0}, tokens=(3, 41, 90)),
    Family("tokens_map", lora(trainable_token_indices={"embed_tokens": [5, 96], "lm_head": [0, 41, 7]}), LORA_SIZES | {"trainable_tokens_delta": 0.3}, tokens=(96, 5, 5)),
    # Tokens after the base's 97, as of a model whose embeddings were resized.
    Family("grown_mts", lora(modules_to_save=["embed_tokens", "lm_head"]), LORA_SIZES | {"embed_tokens.modules_to_save": 1.0, "lm_head.modules_to_save": 0.12}, tokens=(99, 4, 97), added=3),
    Family("grown_tokens", lora(trainable_token_indices={"embed_tokens": [98, 5, 97], "lm_head": [98, 97, 0, 41]}), LORA_SIZES | {"trainable_tokens_delta": 0.3}, tokens=(97, 5, 98), added=2),
    Family("grown_emb_lora", lora(("q_proj", "embed_tokens"), modules_to_save=["lm_head"]), LORA_SIZES | EMBEDDING | {"lm_head.modules_to_save": 0.12}, tokens=(101, 97), added=5),
)
TIED = (
    Family("grown_tokens_tied", lora(trainable_token_indices=[90, 3, 89]), LORA_SIZES | {"trainable_tokens_delta": 0.35}, tokens=(90, 3, 89), added=2),
    Family("mts_embed_tied", lora(modules_to_save=["embed_tokens"]), LORA_SIZES | {"embed_tokens.modules_to_save": 0.35}),
    Family("tokens_tied", lora(trainable_token_indices=[80, 3, 17, 41, 64]), LORA_SIZES | {"trainable_tokens_delta": 0.35}, tokens=(64, 17)),
    Family("mts_qk_norms", lora(modules_to_save=["norm"]), LORA_SIZES, around_one=("norm.modules_to_save",)),
)
