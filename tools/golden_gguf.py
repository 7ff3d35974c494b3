"""GGUF files of tiny base models and tokenizers, and what transformers, PEFT and tokenizers make of the same numbers and tokens.

Numbers: gguf's own dequantisation. Models: transformers with the dequantised weights, which it reads from the file itself too. Needs gguf.
"""

import copy
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)
from transformers.tokenization_utils_base import generate_merges

import golden_models as models
from gguf_files import FACTORS, PERMUTED, READ_BY_TRANSFORMERS, add_config, add_tokens, gguf_name, permuted, quantised, write
from golden_adapters import EVERY_LINEAR

SEEDS = {"qwen2_f16": 21}  # of a model that passes less rounding on
ROUNDING_MARGIN = 5e-5  # what fp32 may differ from fp64; tests allow twice that
BLOCK_TYPES = (
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
)  # fmt: skip
CORPUS = {
    "vocab_size": 6, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
}  # fmt: skip


def make_types(folder):
    """Random blocks of every type, with factors of every size that is finite."""
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(folder / "types.gguf", "llama")
    expected = {}
    for name in BLOCK_TYPES:
        kind = Type[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        rows, blocks = 6, 512 // elements
        data = rng.integers(0, 256, (rows, blocks, size), np.uint8)
        for place in FACTORS[name]:
            halves = rng.normal(0, 1, (rows, blocks)) * 10.0 ** rng.integers(-6, 3, (rows, blocks))
            data[:, :, place : place + 2] = halves.astype(np.float16).view(np.uint8).reshape(rows, blocks, 2)
        data = data.reshape(rows, blocks * size)
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind)
        assert np.isfinite(expected[name]).all(), name
    plain = rng.normal(0, 1, (6, 512)).astype(np.float32)
    for name, kind in (("F32", Type.F32), ("F16", Type.F16), ("BF16", Type.BF16)):
        data = plain if name == "F32" else gguf.quants.quantize(plain, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = data.astype(np.float32) if name != "BF16" else gguf.quants.dequantize(data, kind)
    write(writer)
    save_arrays(expected, folder / "types_expected.safetensors")


def llama3_factors(model):
    """By what the frequencies of RoPE are divided, as llama.cpp's converter computes them."""
    rotary = model.model.rotary_emb
    half = rotary.inv_freq.shape[0]
    theta = model.config.rope_parameters["rope_theta"]
    plain = 1.0 / theta ** (torch.arange(half, dtype=torch.float64) / half)
    return (plain / rotary.inv_freq.double()).float().numpy()


# Name, architecture, config, the type of each matrix by its name in the file.
def specs():
    small = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5}  # fmt: skip
    large = small | {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "num_hidden_layers": 1, "tie_word_embeddings": True}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192, "rope_theta": 500000.0}  # fmt: skip

    sandwich = small | {"head_dim": 16, "sliding_window": 8, "tie_word_embeddings": True}
    gemma3 = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
              "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    longrope = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.25, 1.5, 2.0, 2.5, 3.0], "long_factor": [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]}  # fmt: skip
    untied = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "tie_word_embeddings": False}

    def q4_k_m(name):
        return Type.Q6_K if name.startswith(("token_embd", "blk.0.attn_v", "blk.0.ffn_down")) else Type.Q4_K

    return (
        ("llama_q4_0", "llama", LlamaConfig(**small, head_dim=16, rope_theta=10000.0), lambda name: Type.Q4_0),
        ("llama_q8_0", "llama", LlamaConfig(**small, head_dim=32, rope_parameters=llama3), lambda name: Type.Q8_0),
        ("llama_q4_k", "llama", LlamaConfig(**large), q4_k_m),
        ("qwen2_f16", "qwen2", Qwen2Config(**small, tie_word_embeddings=True), lambda name: Type.F16),
        ("qwen3_q5_1", "qwen3", Qwen3Config(**small, head_dim=32), lambda name: Type.Q5_1 if "token" not in name else Type.BF16),
        ("gemma2_q8_0", "gemma2", Gemma2Config(**sandwich, query_pre_attn_scalar=16, attn_logit_softcapping=3.0, final_logit_softcapping=4.0,
                                               rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
         lambda name: Type.Q8_0),
        ("gemma3_f16", "gemma3", Gemma3TextConfig(**sandwich | {"num_hidden_layers": 6}, query_pre_attn_scalar=16, rope_parameters=gemma3),
         lambda name: Type.F16),
        ("granite_q8_0", "granite", GraniteConfig(**small, rope_theta=10000.0, embedding_multiplier=1.75, attention_multiplier=0.2,
                                                  residual_multiplier=0.6, logits_scaling=1.6, tie_word_embeddings=True),
         lambda name: Type.Q8_0),
        ("smollm3_f16", "smollm3", SmolLM3Config(**small | {"num_hidden_layers": 4}, **untied, rope_theta=2000000.0), lambda name: Type.F16),
        ("olmo2_f16", "olmo2", Olmo2Config(**small, **untied, rope_theta=10000.0), lambda name: Type.F16),
        ("phi3_q8_0", "phi3", Phi3Config(**small, **untied, original_max_position_embeddings=64, rope_parameters=longrope, sliding_window=20),
         lambda name: Type.Q8_0),
    )


def write_model(path, model, architecture, type_of, shards=1):
    """Writes the file, and gives the model the numbers that it keeps."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=9 if shards > 1 else 0)
    add_config(writer, config, architecture)
    add_tokens(writer, config.vocab_size)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        numbers = tensor.float().numpy()
        heads = {"self_attn.q_proj": config.num_attention_heads, "self_attn.k_proj": config.num_key_value_heads}
        heads = heads.get(name.split(".", 3)[-1].rsplit(".", 1)[0], 0) if architecture in PERMUTED else 0
        stored_name = gguf_name(name, architecture)
        kind = type_of(stored_name) if numbers.ndim == 2 else Type.F32
        offset = np.float32(1 if architecture.startswith("gemma") and name.endswith("norm.weight") else 0)
        stored = quantised(permuted(numbers, heads) if heads else numbers + offset, kind)
        writer.add_tensor(stored_name, stored, raw_dtype=kind)
        kept = gguf.quants.dequantize(stored, kind).astype(np.float32) - offset
        if heads:  # the inverse: pairs apart again
            kept = kept.reshape(heads, kept.shape[0] // heads // 2, 2, *kept.shape[1:]).swapaxes(1, 2).reshape(kept.shape)
        tensor.copy_(torch.from_numpy(kept.reshape(tensor.shape)))
    if config.rope_parameters.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(model))
    write(writer)


def check_transformers(path, model):
    """transformers reads the same numbers from the file; it knows no rope_freqs."""
    read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, read.state_dict()[name]), name


def make_model(folder, name, architecture, config, type_of):
    folder = folder / name
    folder.mkdir()
    seed = SEEDS.get(name, 11)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    models.randomise(model, seed)
    with torch.no_grad():
        write_model(folder / "model.gguf", model, architecture, type_of)
    if architecture in READ_BY_TRANSFORMERS:
        check_transformers(folder / "model.gguf", model)
    embedding = model.get_input_embeddings()
    if hasattr(embedding, "embed_scale"):  # of which files say no type: that of the weights which were converted, in all published models
        embedding.embed_scale = embedding.embed_scale.bfloat16().float()
    expected = {}
    prompts = models.prompts(config.vocab_size, seed)
    for index, ids in enumerate(prompts):
        expected[f"ids.{index}"] = torch.tensor(ids, dtype=torch.int32)
        expected[f"logits.{index}"] = models.logits(model, ids).clone()
    fused = architecture == "phi3"
    targets = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"] if fused else list(EVERY_LINEAR)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets))
    adapted.peft_config["default"].base_model_name_or_path = "golden"
    generator = torch.Generator().manual_seed(12)
    for key, tensor in adapted.named_parameters():
        if "lora_" in key:
            size = tensor.shape[1] ** -0.5 if "lora_A" in key else 0.1
            tensor.data = size * torch.randn(tensor.shape, generator=generator)
    adapted.save_pretrained(folder / "adapters/lora")
    (folder / "adapters/lora/README.md").unlink(missing_ok=True)
    reread = PeftModel.from_pretrained(adapted.unload(), folder / "adapters/lora").eval()
    for index, ids in enumerate(prompts):
        expected[f"logits.lora.{index}"] = models.logits(reread, ids).clone()
        if len(ids) > 1:
            assert (expected[f"logits.lora.{index}"] - expected[f"logits.{index}"]).abs().max() > 0.1
    # Neither fp32 nor products in bf16 may move the longest prompt's logits by as much as tests allow.
    longest = len(prompts) - 1
    models.check_bf16(name, copy.deepcopy(reread), prompts[longest], expected[f"logits.lora.{longest}"])
    exact = models.logits(copy.deepcopy(reread).double(), prompts[longest])
    assert (exact - expected[f"logits.lora.{longest}"].double()).abs().max() < ROUNDING_MARGIN, name
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors", metadata={"format": "pt"})
    print(f"gguf/{name}: {(folder / 'model.gguf').stat().st_size:,} bytes")


def make_shards(folder):
    """The first model in three files."""
    name, architecture, config, type_of = specs()[0]
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    models.randomise(model, 11)
    (folder / "shards").mkdir()
    with torch.no_grad():
        write_model(folder / "shards/model.gguf", model, architecture, type_of, shards=3)
    print(f"gguf/shards: {sorted(path.name for path in (folder / 'shards').iterdir())}, as {name}")


def add_tokenizer(writer, tokenizer, pre):
    """What llama.cpp's converter writes of a tokenizer.json."""
    model = tokenizer["model"]
    texts = dict(model["vocab"])
    added = {token["content"]: token for token in tokenizer["added_tokens"]}
    for token in added.values():
        texts[token["content"]] = token["id"]
    tokens = sorted(texts, key=texts.get)
    assert [texts[token] for token in tokens] == list(range(len(tokens)))

    def type_of(token):
        if token in added:
            return gguf.TokenType.CONTROL if added[token]["special"] else gguf.TokenType.USER_DEFINED
        is_byte = len(token) == 6 and token.startswith("<0x") and model["byte_fallback"]
        return gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL

    writer.add_token_list(tokens)
    writer.add_token_types([type_of(token) for token in tokens])
    if pre:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
        return tokens
    # SentencePiece: the score of a piece says when it is merged.
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    ranks = {"".join(merge): -float(rank) - 1 for rank, merge in reversed(list(enumerate(merges)))}
    writer.add_tokenizer_model("llama")
    writer.add_token_scores([ranks.get(token, -1e6 - texts[token]) if type_of(token) == gguf.TokenType.NORMAL else 0.0 for token in tokens])
    return tokens


def reference_of(tokenizer, tokens, scores, has_prefix):
    """A tokenizer.json with the merges that transformers makes of pieces and their scores."""
    made = json.loads(json.dumps(tokenizer))
    vocab = made["model"]["vocab"]
    normal = {token: scores[vocab[token]] for token in tokens if token in vocab and scores[vocab[token]] != 0.0}
    made["model"]["merges"] = [list(merge) for merge in generate_merges(vocab, normal)]
    prepend = [{"type": "Prepend", "prepend": "\u2581"}] if has_prefix else []  # to each stretch of text, whatever the original does
    made["normalizer"] = {"type": "Sequence", "normalizers": [*prepend, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    made["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(made))


def make_tokenizers(out, folder):
    """The tokenizers of tests/golden/tokenizers in GGUF files, and the ids of their cases where these are not the same."""
    (folder / "tokenizers").mkdir()
    for name, pre in (("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2"), ("llama2", None), ("mistral", None),
                      ("gemma", None)):  # fmt: skip
        tokenizer = json.loads((out / "tokenizers" / name / "tokenizer.json").read_text())
        path = folder / "tokenizers" / f"{name}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        tokens = add_tokenizer(writer, tokenizer, pre)
        has_prefix = name != "gemma"
        if not has_prefix:
            writer.add_add_space_prefix(False)
        special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
        for text, add in (("<s>", writer.add_bos_token_id), ("<bos>", writer.add_bos_token_id), ("<eos>", writer.add_eos_token_id),
                          ("<|begin_of_text|>", writer.add_bos_token_id), ("</s>", writer.add_eos_token_id),
                          ("<|endoftext|>", writer.add_eos_token_id), ("<unk>", writer.add_unk_token_id)):  # fmt: skip
            if text in special:
                add(special[text])
        write(writer)
        if pre:
            continue
        scores = gguf.GGUFReader(path).fields["tokenizer.ggml.scores"].contents()
        reference = reference_of(tokenizer, tokens, scores, has_prefix)
        texts = [case["text"] for case in json.loads((out / "tokenizers" / name / "cases.json").read_text())["encode"]]
        texts += json.loads((out / "tokenizers/sample.json").read_text())
        ids = [reference.encode(text).ids for text in texts]
        (folder / "tokenizers" / f"{name}.json").write_text(json.dumps({"ids": ids}, separators=(",", ":")) + "\n")


def make_corpus(folder):
    """Small base models of both kinds of tokenizers, for the fuzz target to begin with."""
    for name, kind in (("base_merges", Type.Q4_0), ("base_scores", Type.F16)):
        writer = gguf.GGUFWriter(folder / f"{name}.gguf", "llama")
        add_config(writer, LlamaConfig(**CORPUS), "llama")
        tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab"]
        writer.add_token_list(tokens)
        writer.add_token_types([2, 3, 3, 1, 1, 1])
        writer.add_tokenizer_model("gpt2" if name == "base_merges" else "llama")
        if name == "base_merges":
            writer.add_tokenizer_pre("llama-bpe")
            writer.add_token_merges(["a b"])
        else:
            writer.add_token_scores([0.0, 0.0, 0.0, -3.0, -2.0, -1.0])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_tensor("token_embd.weight", gguf.quants.quantize(np.ones((6, 32), np.float32), kind), raw_dtype=kind)
        writer.add_tensor("blk.0.attn_q.weight", gguf.quants.quantize(np.ones((32, 32), np.float32), kind), raw_dtype=kind)
        writer.add_tensor("rope_freqs.weight", np.ones(8, np.float32))
        write(writer)


def make(out: Path):
    folder = out / "gguf"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    make_types(folder)
    for spec in specs():
        make_model(folder, *spec)
    make_shards(folder)
    make_tokenizers(out, folder)
    make_corpus(out.parent / "corpora/gguf")
