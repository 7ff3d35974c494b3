"""Folders that must be refused of adapters that replace weights of the base, and of those whose training subtracted from it."""

import torch

HIDDEN, KV_WIDTH, RANK, VOCABULARY = 48, 16, 2, 101  # of mix32
MODEL = "base_model.model.model."
Q0, V0 = (f"{MODEL}layers.0.self_attn.{name}" for name in ("q_proj", "v_proj"))
NORM, TOKENS = f"{MODEL}norm.ln_tuning_layers.weight", f"{MODEL}embed_tokens.trainable_tokens_delta"


def config(peft_type, **changes):
    return {"base_model_name_or_path": "golden/mix32", "peft_type": peft_type, "task_type": "CAUSAL_LM"} | changes


def lora(module, rank, outputs, inputs=HIDDEN):
    return {f"{module}.lora_A.weight": torch.ones(rank, inputs), f"{module}.lora_B.weight": torch.ones(outputs, rank)}


def ln_tuning_faults():
    plain, norm = config("LN_TUNING", target_modules=["norm"]), {NORM: torch.ones(HIDDEN)}
    other = f"{MODEL}layers.0.other_layernorm.ln_tuning_layers.weight"
    return {
        "ln_tuning_linear": (plain, norm | {f"{Q0}.ln_tuning_layers.weight": torch.ones(HIDDEN, HIDDEN)}, "E_UNSUPPORTED_OPTION", ["q_proj"]),
        "ln_tuning_of_other_size": (plain, {NORM: torch.ones(HIDDEN + 1)}, "E_SHAPE", ["model.norm", "48", "49"]),
        "ln_tuning_bias": (plain, norm | {f"{MODEL}norm.ln_tuning_layers.bias": torch.ones(HIDDEN)}, "E_SHAPE", ["model.norm"]),
        "ln_tuning_nan": (plain, {NORM: torch.full((HIDDEN,), float("nan"))}, "E_NONFINITE", ["norm", "expected finite numbers, found nan"]),
        "ln_tuning_key_of_lora": (config("LN_TUNING", lora_alpha=4), norm, "E_UNSUPPORTED_OPTION", ["lora_alpha", "LN tuning"]),
        "ln_tuning_tensor_of_lora": (plain, norm | lora(Q0, RANK, HIDDEN), "E_UNKNOWN_TENSOR", ["lora_A", "an LN tuning adapter"]),
        "ln_tuning_unknown_norm": (plain, {other: torch.ones(HIDDEN)}, "E_UNKNOWN_MODULE", ["other_layernorm", '.input_layernorm"']),
        "ln_tuning_copy_alone": (
            plain, norm | {f"{MODEL}embed_tokens.base_layer.weight": torch.ones(VOCABULARY, HIDDEN)}, "E_PAIR", ["embed_tokens", "ln_tuning_layers"]
        ),
    }


def token_faults():
    def with_indices(*indices):
        return config("TRAINABLE_TOKENS", target_modules="model.embed_tokens", token_indices=list(indices))

    two = {TOKENS: torch.ones(2, HIDDEN)}
    return {
        "tokens_type_without_indices": (config("TRAINABLE_TOKENS"), two, "E_INDEX", ["token_indices"]),
        "tokens_type_other_count": (with_indices(3, 4, 5), two, "E_INDEX", ["embed_tokens", "3", "[2, 48]"]),
        "tokens_type_above_vocabulary": (with_indices(3, VOCABULARY + 4), two, "E_INDEX", ["101", "105"]),
        "tokens_type_negative": (with_indices(3, -1), two, "E_INDEX", ["token_indices", "-1"]),
        "tokens_type_twice": (with_indices(3, 3), two, "E_INDEX", ["token_indices", "3 twice"]),
        "tokens_type_of_texts": (with_indices("3", "4"), two, "E_BAD_JSON", ["token_indices"]),
        "tokens_type_too_narrow": (with_indices(3, 4), {TOKENS: torch.ones(2, HIDDEN - 1)}, "E_SHAPE", ["embed_tokens", "48", "47"]),
        "tokens_type_of_linear": (with_indices(3, 4), two | {f"{Q0}.trainable_tokens_delta": torch.ones(2, HIDDEN)}, "E_UNSUPPORTED_OPTION", ["q_proj"]),
        "tokens_type_tensor_of_lora": (with_indices(3, 4), two | lora(Q0, RANK, HIDDEN), "E_UNKNOWN_TENSOR", ["lora_A"]),
    }


def saved_faults():
    ia3 = {f"{V0}.ia3_l": torch.ones(KV_WIDTH, 1)}
    head = {f"base_model.model.lm_head.lora_{name}": torch.ones(shape) for name, shape in {"A": (2, HIDDEN), "E": (2, 1), "B": (VOCABULARY, 2)}.items()}
    plain = config("IA3", target_modules=["v_proj"])
    return {
        "ia3_saved_linear": (plain, ia3 | {f"{Q0}.weight": torch.ones(HIDDEN, HIDDEN)}, "E_UNSUPPORTED_OPTION", ["q_proj", "modules_to_save"]),
        "ia3_saved_norm_of_other_size": (plain, ia3 | {f"{MODEL}norm.weight": torch.ones(HIDDEN - 1)}, "E_SHAPE", ["model.norm", "48", "47"]),
        "adalora_changed_copy_of_head": (
            config("ADALORA", init_r=2, lora_alpha=4, target_modules=["lm_head"]),
            head | {"base_model.model.lm_head.base_layer.weight": torch.ones(VOCABULARY, HIDDEN)},
            "E_UNSUPPORTED_OPTION",
            ["lm_head", "save_embedding_layers"],
        ),
    }


def start_faults():
    def start(scheme, **changes):
        return config("LORA", init_lora_weights=scheme, r=RANK, lora_alpha=4, target_modules=["v_proj"]) | changes

    v0 = lora(V0, RANK, KV_WIDTH)
    wide = lora(V0, KV_WIDTH + 1, KV_WIDTH)
    return {
        "pissa_rank_above_width": (start("pissa", r=KV_WIDTH + 1), wide, "E_RANK", ["v_proj", "16", "17", "pissa"]),
        "pissa_scale_of_zero": (start("pissa", lora_alpha=0), v0, "E_SCALE", ["v_proj", "above 0"]),
        "olora_rank_above_width": (start("OLoRA", r=KV_WIDTH + 1), wide, "E_RANK", ["v_proj", "16", "17", "OLoRA"]),
        "olora_activated": (start("olora", alora_invocation_tokens=[3]), v0, "E_UNSUPPORTED_OPTION", ["olora", "alora_invocation_tokens"]),
        "pissa_of_another_base": (start("pissa"), lora(V0, RANK, KV_WIDTH, HIDDEN + 1), "E_WRONG_BASE", ["48", "49"]),
        "pissa_nan": (start("pissa"), v0 | {f"{V0}.lora_B.weight": torch.full((KV_WIDTH, RANK), float("nan"))}, "E_NONFINITE", ["v_proj"]),
    }


def faults():
    """name -> (config, tensors, code, mentions)."""
    return ln_tuning_faults() | token_faults() | saved_faults() | start_faults()
