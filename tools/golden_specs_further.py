"""Golden models of families whose arithmetic differs from Llama's."""

from transformers import (
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    GraniteConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    SmolLM3Config,
)

from golden_adapters import EVERY_LINEAR, Adapter, lora
from golden_specs import YARN, Model, rope, sizes


def with_key(key, value):
    def change(config):
        setattr(config.get_text_config(), key, value)

    change.__name__ = f"with_{key}"
    return change


def without_scaling(config):
    config.get_text_config().rope_parameters["full_attention"] = {"rope_type": "default", "rope_theta": 1000000.0}


def other_window_theta(config):
    config.get_text_config().rope_parameters["sliding_attention"]["rope_theta"] *= 30.0


def other_full_theta(config):
    config.get_text_config().rope_parameters["full_attention"]["rope_theta"] /= 300.0


def plain_full_rope(config):
    config.rope_parameters["full_attention"] = {"rope_type": "default", "rope_theta": 500000.0}


def with_other_short_factors(config):
    config.rope_parameters["short_factor"] = [1.0] * 6


def with_whole_rotation(config):
    config.rope_parameters |= {"partial_rotary_factor": 1.0, "short_factor": [1.0] * 8, "long_factor": [1.0] * 8}


NO_SPECIAL_TOKENS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}  # whose defaults are beyond a tiny vocabulary
EVERY_NORM = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm", "model.norm")
GEMMA = {"max_position_embeddings": 256, "sliding_window": 8}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}


def gemma3_text(**keys):
    given = {"num_hidden_layers": 3, "sliding_window_pattern": 3, "head_dim": 16, "query_pre_attn_scalar": 20, "rope_parameters": GEMMA3_ROPE}
    return Gemma3TextConfig(**GEMMA | given | keys)


VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 8,
    "patch_size": 4,
}

FURTHER_MODELS = (
    Model(
        "gemma2",
        21,
        Gemma2Config(
            **sizes(101, 56, 72, 7, 1),
            **GEMMA,
            num_hidden_layers=3,
            head_dim=16,
            query_pre_attn_scalar=24,
            attn_logit_softcapping=3.0,
            final_logit_softcapping=4.0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        form=4,
        features=(
            with_key("sliding_window", 200),
            with_key("attn_logit_softcapping", None),
            with_key("final_logit_softcapping", None),
            with_key("query_pre_attn_scalar", 16),
            with_key("hidden_activation", "silu"),
        ),
        adapters=(
            Adapter("all_linear_r7", lora(7, 14, EVERY_LINEAR)),
            Adapter("norms_r4", lora(4, 8, ("q_proj", "down_proj"), modules_to_save=list(EVERY_NORM))),
        ),
    ),
    Model(
        "gemma3_text",
        22,
        gemma3_text(**sizes(103, 60, 72, 5, 1), num_hidden_layers=4),
        features=(with_key("sliding_window", 200), without_scaling, other_full_theta, other_window_theta, with_key("query_pre_attn_scalar", 16)),
        adapters=(
            Adapter("all_linear_r16", lora(16, 32, EVERY_LINEAR)),
            Adapter("norms_r4", lora(4, 8, ("v_proj", "up_proj"), modules_to_save=[*EVERY_NORM, "q_norm", "k_norm"])),
        ),
    ),
    Model(
        "gemma3",
        23,
        Gemma3Config(
            text_config=gemma3_text(**sizes(97, 48, 64, 6, 2)).to_dict(),
            vision_config=VISION,
            mm_tokens_per_image=4,
            image_token_index=96,
            boi_token_index=94,
            eoi_token_index=95,
        ),
        form=4,
        window_theta_key="rope_local_base_freq",
        old_keys={"sliding_window_pattern": 3},
        features=(other_full_theta,),
        adapters=(
            Adapter("all_with_images_r3", lora(3, 6, r".*\.(q_proj|k_proj|v_proj|up_proj|fc1)")),
            Adapter("all_linear_r5", lora(5, 10, r".*language_model.*\.(q|k|v|o|gate|up|down)_proj")),
            Adapter("q_v_r4", lora(4, 8, r".*language_model.*\.(q|v)_proj"), rename=lambda name: name.replace("model.model.language_model.", "model.language_model.model.")),
        ),
    ),
    Model(
        "granite",
        24,
        GraniteConfig(
            **sizes(101, 56, 72, 7, 1),
            **rope(10000.0),
            num_hidden_layers=2,
            max_position_embeddings=256,
            embedding_multiplier=1.75,
            attention_multiplier=0.2,
            residual_multiplier=0.6,
            logits_scaling=1.6,
            tie_word_embeddings=True,
        ),
        form=4,
        features=(
            with_key("embedding_multiplier", 1.0),
            with_key("attention_multiplier", 0.35),
            with_key("residual_multiplier", 1.0),
            with_key("logits_scaling", 1.0),
        ),
        adapters=(Adapter("all_linear_r6", lora(6, 12, EVERY_LINEAR)),),
    ),
    Model(
        "smollm3",
        34,
        SmolLM3Config(
            **sizes(97, 48, 64, 3, 1), **rope(2000000.0), **NO_SPECIAL_TOKENS, num_hidden_layers=4, max_position_embeddings=256, no_rope_layers=[1, 0, 1, 1]
        ),
        features=(with_key("no_rope_layers", [1, 1, 1, 1]),),
        adapters=(Adapter("all_linear_r6", lora(6, 12, EVERY_LINEAR)),),
    ),
    Model(
        "smollm3_window",
        26,
        SmolLM3Config(
            **sizes(97, 48, 64, 3, 1),
            **rope(2000000.0),
            **NO_SPECIAL_TOKENS,
            num_hidden_layers=4,
            max_position_embeddings=256,
            use_sliding_window=True,
            sliding_window=6,
            tie_word_embeddings=False,
        ),
        form=4,
        left_out=("no_rope_layers", "no_rope_layer_interval"),
        features=(with_key("sliding_window", 200),),
    ),
    Model(
        "olmo2",
        27,
        Olmo2Config(**sizes(103, 60, 72, 5, 1), **rope(10000.0), **NO_SPECIAL_TOKENS, num_hidden_layers=2, max_position_embeddings=256),
        form=4,
        adapters=(
            Adapter("all_linear_r6", lora(6, 12, EVERY_LINEAR)),
            Adapter("norms_r4", lora(4, 8, ("q_proj",), modules_to_save=["post_attention_layernorm", "q_norm", "k_norm"])),
        ),
    ),
    Model(
        "olmo3",
        28,
        Olmo3Config(
            **sizes(97, 48, 64, 6, 2),
            **NO_SPECIAL_TOKENS,
            num_hidden_layers=4,
            max_position_embeddings=256,
            sliding_window=8,
            rope_parameters={
                "full_attention": YARN | {"rope_theta": 500000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
            },
        ),
        features=(with_key("sliding_window", 200), plain_full_rope),
        adapters=(Adapter("all_linear_r6", lora(6, 12, EVERY_LINEAR)),),
    ),
    Model(
        "phi3",
        29,
        Phi3Config(
            **sizes(97, 60, 72, 5, 1),
            num_hidden_layers=2,
            max_position_embeddings=64,
            original_max_position_embeddings=64,
            sliding_window=9,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            **NO_SPECIAL_TOKENS,
        ),
        form=4,
        features=(with_key("sliding_window", 200),),
        adapters=(Adapter("fused_r6", lora(6, 12, ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"))),),
    ),
    Model(
        "phi3_longrope",
        30,
        Phi3Config(
            **sizes(97, 48, 64, 3, 1),
            num_hidden_layers=2,
            max_position_embeddings=256,
            original_max_position_embeddings=64,
            tie_word_embeddings=True,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.25, 1.5, 2.0, 2.5, 3.0],
                "long_factor": [1.0, 2.0, 3.0, 4.0, 6.0, 9.0],
            },
            **NO_SPECIAL_TOKENS,
        ),
        features=(with_other_short_factors, with_whole_rotation),
        adapters=(Adapter("fused_r6", lora(6, 12, ("qkv_proj", "down_proj"))),),
    ),
)
