"""Writes GGUF files: names, configs and blocks as llama.cpp's converter makes them. Used by golden_gguf.py and make_gguf.py."""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

# Where the halves that are factors lie in a block.
FACTORS = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2),
    "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
OWN_NAMES = {
    "gemma2": {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
               "post_feedforward_layernorm": "post_ffw_norm"},
    "olmo2": {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"},
    "phi3": {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"},
}  # fmt: skip
OWN_NAMES["gemma3"] = OWN_NAMES["gemma2"]
PERMUTED = ("llama", "granite", "smollm3")  # architectures whose rows of q and k have Meta's order
READ_BY_TRANSFORMERS = ("llama", "qwen2")  # whose lengths of heads and other numbers it reads too


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantised_k(numbers, kind):
    """Blocks of Q4_K or Q6_K, made simply: what is lost does not matter here, and gguf makes none."""
    rows = numbers.reshape(-1, 256)
    if kind == Type.Q6_K:
        groups = rows.reshape(-1, 16, 16)
        steps = np.abs(groups).max(-1) / 31 + 1e-8
        d = (steps.max(-1) / 127).astype(np.float16)
        scales = np.clip(np.round(steps / d.astype(np.float32)[:, None]), 1, 127).astype(np.int8)
        step = d.astype(np.float32)[:, None, None] * scales.astype(np.float32)[:, :, None]
        q = (np.clip(np.round(groups / step), -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
        low = np.concatenate([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], -1)
        high = sum((q[:, :, k] >> 4) << 2 * k for k in range(4))
        blocks = [low.reshape(-1, 128), high.reshape(-1, 64), scales.view(np.uint8), d[:, None].view(np.uint8)]
    else:
        groups = rows.reshape(-1, 8, 32)
        least = np.minimum(groups.min(-1), 0)
        steps = (groups.max(-1) - least) / 15 + 1e-8
        d, dmin = ((part.max(-1) / 63).astype(np.float16) for part in (steps, -least))
        scales = np.clip(np.round(steps / d.astype(np.float32)[:, None]), 1, 63).astype(np.uint8)
        mins = np.clip(np.round(-least / np.maximum(dmin.astype(np.float32), 1e-8)[:, None]), 0, 63).astype(np.uint8)
        step = (d.astype(np.float32)[:, None] * scales)[:, :, None]
        q = np.clip(np.round((groups + (dmin.astype(np.float32)[:, None] * mins)[:, :, None]) / step), 0, 15).astype(np.uint8)
        packed = [scales[:, :4] | scales[:, 4:] >> 4 << 6, mins[:, :4] | mins[:, 4:] >> 4 << 6, scales[:, 4:] & 15 | (mins[:, 4:] & 15) << 4]
        pairs = q.reshape(-1, 4, 2, 32)
        blocks = [d[:, None].view(np.uint8), dmin[:, None].view(np.uint8), *packed, (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128)]
    data = np.concatenate(blocks, -1).reshape(*numbers.shape[:-1], -1)
    assert np.abs(gguf.quants.dequantize(data, kind) - numbers).max() < 0.2 * np.abs(numbers).max(), kind
    return data


def quantised(numbers, kind):
    return quantised_k(numbers, kind) if kind in (Type.Q4_K, Type.Q6_K) else gguf.quants.quantize(numbers, kind)


def permuted(weight, heads):
    """Rows of a head in Meta's order, as llama.cpp's converter writes them for the architecture llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name, architecture):
    path, ending = name.rsplit(".", 1)
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if path in outside:
        return f"{outside[path]}.{ending}"
    _, _, layer, module = path.split(".", 3)
    return f"blk.{layer}.{(NAMES | OWN_NAMES.get(architecture, {}))[module]}.{ending}"


def add_config(writer, config, architecture):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    parameters = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if architecture not in ("qwen2", "phi3", "granite", "smollm3", "olmo2"):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if architecture in PERMUTED:
        writer.add_rope_dimension_count(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    add_further_config(writer, config, architecture)


def add_further_config(writer, config, architecture):
    """What llama.cpp's converter writes of one architecture only."""
    if architecture in ("gemma2", "gemma3", "phi3") and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if architecture == "gemma3":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["full_attention"]["factor"])
    if architecture == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if architecture == "phi3":
        original = config.original_max_position_embeddings
        scale = config.max_position_embeddings / original
        head_dim = config.hidden_size // config.num_attention_heads
        writer.add_rope_dimension_count(int(config.rope_parameters["partial_rotary_factor"] * head_dim))
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors((1 + np.log(scale) / np.log(original)) ** 0.5)
        for name in ("short", "long"):
            writer.add_tensor(f"rope_factors_{name}.weight", np.array(config.rope_parameters[f"{name}_factor"], np.float32))


def add_tokens(writer, count):
    """A vocabulary of as many tokens as the model has rows."""
    tokens = [chr(0x100 + index) for index in range(count - 3)] + ["\u0100\u0101", "<|im_end|>", "<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (count - 2) + [3, 3])
    writer.add_token_merges(["\u0100 \u0101"])
    writer.add_eos_token_id(count - 2)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
