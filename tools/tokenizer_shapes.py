"""The shapes of published tokenizers: GPT-2, Llama 2, Llama 3, Mistral, Qwen 2 and Gemma, each trained on lines given.

A shape is trained and then written as the published files of its family look: same normaliser, pre-tokenizer, post-processor,
decoder, model switches, kinds of added tokens; two write merges as "a b" (as transformers 4 did), the others as ["a", "b"].
"""

import json
import os
from collections import Counter
from dataclasses import dataclass

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

BYTE_TOKENS = [f"<0x{value:02X}>" for value in range(256)]


@dataclass(frozen=True)
class Training:
    """What a shape is trained on, and how large it becomes: pieces, and for byte fallback single characters."""

    lines: list
    vocab_size: int
    alphabet_size: int = 120


def added_token(token_id, content, special=True):
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def train_byte_level(training, split):
    """Vocabulary and merges of a byte-level BPE whose words are cut by `split`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=training.vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(training.lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def common_characters(lines, count):
    """The most frequent characters, ties by code point: the trainer's own choice among ties differs from run to run."""
    counts = Counter("\u2581".join(lines).replace(" ", "\u2581"))
    return sorted(counts, key=lambda character: (-counts[character], character))[:count]


def train_byte_fallback(training, specials):
    """Vocabulary and merges of a metaspace BPE with byte tokens, as a SentencePiece model converts.

    Order of ids: specials, bytes, runs of spaces, merges, single characters last.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    alphabet = common_characters(training.lines, training.alphabet_size)
    trainer = trainers.BpeTrainer(
        vocab_size=training.vocab_size, initial_alphabet=alphabet, limit_alphabet=len(alphabet), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(training.lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    trained = sorted(model["vocab"], key=model["vocab"].get)
    characters = [token for token in trained if len(token) == 1]
    runs = ["\u2581" * length for length in (2, 3, 4, 8)]
    run_merges = [["\u2581", "\u2581"], ["\u2581\u2581", "\u2581"], ["\u2581\u2581", "\u2581\u2581"], ["\u2581" * 4, "\u2581" * 4]]
    pieces = [token for token in trained if len(token) > 1 and token not in runs]
    order = specials + BYTE_TOKENS + runs + pieces + characters
    merges = run_merges + [merge for merge in model["merges"] if merge not in run_merges]
    return {token: index for index, token in enumerate(order)}, merges


def bpe(vocab, merges, **switches):
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return model | switches | {"vocab": vocab, "merges": merges}


def with_space(merges):
    return [" ".join(merge) for merge in merges]


def bos_template(token, token_id):
    special = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            special,
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": token, "type_id": 1}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}},
    }


def metaspace_decoder():
    return {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }


def byte_level(**switches):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False} | switches


def split_then_bytes(split):
    return {
        "type": "Sequence",
        "pretokenizers": [{"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}, byte_level()],
    }


def tokenizer_file(added, normalizer, pre_tokenizer, post_processor, decoder, model):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def gpt2(training):
    vocab, merges = train_byte_level(training, GPT2_SPLIT)
    end = added_token(len(vocab), "<|endoftext|>") | {"normalized": True}
    file = tokenizer_file(
        [end],
        None,
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        bpe(vocab, with_space(merges), continuing_subword_prefix="", end_of_word_suffix=""),
    )
    config = {
        "bos_token": end["content"],
        "eos_token": end["content"],
        "model_max_length": 1024,
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": end["content"],
    }
    return file, config


def llama2(training):
    vocab, merges = train_byte_fallback(training, ["<unk>", "<s>", "</s>"])
    file = tokenizer_file(
        [added_token(0, "<unk>"), added_token(1, "<s>"), added_token(2, "</s>")],
        {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}],
        },
        None,
        bos_template("<s>", 1),
        metaspace_decoder(),
        bpe(vocab, with_space(merges), unk_token="<unk>", fuse_unk=True, byte_fallback=True),
    )
    token = {"__type": "AddedToken", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": token | {"content": "<s>"},
        "clean_up_tokenization_spaces": False,
        "eos_token": token | {"content": "</s>"},
        "legacy": False,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": None,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": token | {"content": "<unk>"},
    }
    return file, config


def mistral(training):
    specials = [
        "<unk>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
    ]
    specials += [f"[control_{index}]" for index in range(8, 16)]
    vocab, merges = train_byte_fallback(training, specials)
    file = tokenizer_file(
        [added_token(index, content) for index, content in enumerate(specials)],
        None,
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False},
        bos_template("<s>", 1),
        metaspace_decoder(),
        bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True),
    )
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "add_prefix_space": None,
        "added_tokens_decoder": decoder_map(file["added_tokens"]),
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "extra_special_tokens": {},
        "legacy": False,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": None,
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }
    return file, config


def llama3(training):
    vocab, merges = train_byte_level(training, LLAMA3_SPLIT)
    # Whole words without merges: only ignore_merges finds them.
    for word in ("\u0120tokenization", "Donaudampfschifffahrtsgesellschaft", "\u0120hello\u0120", "camelCaseName", "1234", "999"):
        if word not in vocab:
            vocab[word] = len(vocab)
    first = len(vocab)
    names = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>",
        "<|reserved_special_token_2|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
    ]
    added = [added_token(first + index, name) for index, name in enumerate(names)]
    file = tokenizer_file(
        added,
        None,
        split_then_bytes(LLAMA3_SPLIT),
        {
            "type": "Sequence",
            "processors": [byte_level(add_prefix_space=True, trim_offsets=False, use_regex=True), bos_template(names[0], first)],
        },
        byte_level(add_prefix_space=True, use_regex=True),
        bpe(vocab, with_space(merges), ignore_merges=True),
    )
    config = {
        "added_tokens_decoder": decoder_map(added),
        "bos_token": names[0],
        "clean_up_tokenization_spaces": True,
        "eos_token": "<|eot_id|>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return file, config


def qwen2(training):
    vocab, merges = train_byte_level(training, QWEN2_SPLIT)
    first = len(vocab)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
    plain = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_suffix|>"]
    added = [added_token(first + index, name, name in specials) for index, name in enumerate(specials + plain)]
    file = tokenizer_file(
        added,
        {"type": "NFC"},
        split_then_bytes(QWEN2_SPLIT),
        byte_level(trim_offsets=False),
        byte_level(trim_offsets=False),
        bpe(vocab, merges, continuing_subword_prefix="", end_of_word_suffix=""),
    )
    file["pre_tokenizer"]["pretokenizers"][1]["trim_offsets"] = False
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder_map(added),
        "additional_special_tokens": specials[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return file, config


def gemma(training):
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>", "<start_of_turn>", "<end_of_turn>"]
    plain = ["\n" * length for length in (2, 3, 4)] + ["<table>", "</table>"]
    vocab, merges = train_byte_fallback(training, specials + plain)
    added = [added_token(index, content, content in specials) for index, content in enumerate(specials + plain)]
    added += [added_token(vocab["\u2581" * length], "\u2581" * length, special=False) for length in (2, 3, 4)]
    file = tokenizer_file(
        added,
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        bos_template("<bos>", 2),
        {"type": "Sequence", "decoders": metaspace_decoder()["decoders"][:3]},
        bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True),
    )
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": decoder_map(added),
        "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>",
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>",
        "spaces_between_special_tokens": False,
        "tokenizer_class": "GemmaTokenizer",
        "unk_token": "<unk>",
    }
    return file, config


def decoder_map(added):
    return {str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in added}


SHAPES = {"gpt2": gpt2, "llama2": llama2, "llama3": llama3, "mistral": mistral, "qwen2": qwen2, "gemma": gemma}
