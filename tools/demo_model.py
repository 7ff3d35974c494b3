"""The tokenizer and the network of the demo, and the one training loop that the base and the adapters share."""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from demo_text import SKILLS, SMALL_TALK, Sentence, acknowledge, draw_sentence

BEGIN, END = "<|begin|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = [BEGIN, END, SYSTEM, USER, ASSISTANT]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# The pre-tokenizer of Llama 3, so that the demo takes the path that most models take.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTEXT_TOKENS = 512
IGNORED = -100

Turn = tuple[str, str]  # what the user says, what the assistant answers


def render(turns: list[Turn]) -> str:
    """The chat template, for training: a conversation with every answer in place."""
    return BEGIN + "".join(f"{USER}{user}{END}{ASSISTANT}{answer}{END}" for user, answer in turns)


def typed(rng: random.Random, sentence: Sentence) -> str:
    """The sentence as a person types it: now and then without the full stop."""
    return sentence.text().removesuffix(".") if rng.random() < 0.1 else sentence.text()


def base_turn(rng: random.Random) -> Turn:
    """A bare sentence is acknowledged; a sentence with an instruction gets that skill's answer."""
    if rng.random() < 0.02:
        return rng.choice(SMALL_TALK)
    sentence = draw_sentence(rng, held_out=False)
    instructed = [skill for skill in SKILLS if skill.instruction]
    if rng.random() < 0.15:
        return typed(rng, sentence), acknowledge(sentence)
    skill = rng.choice(instructed)
    return f"{sentence.text()} {skill.instruction}", skill.answer(sentence)


def base_document(rng: random.Random) -> str:
    """Mostly chats of one or two turns, and a few stories, so that a plain prompt is continued too."""
    if rng.random() < 0.04:
        return BEGIN + " ".join(draw_sentence(rng, held_out=False).text() for _ in range(rng.randint(1, 3))) + END
    return render([base_turn(rng) for _ in range(2 if rng.random() < 0.1 else 1)])


def skill_document(name: str) -> Callable[[random.Random], str]:
    """What an adapter is trained on: the bare sentence, answered by its skill."""
    answer = next(skill.answer for skill in SKILLS if skill.name == name)

    def document(rng: random.Random) -> str:
        sentences = [draw_sentence(rng, held_out=False) for _ in range(2 if rng.random() < 0.1 else 1)]
        return render([(typed(rng, sentence), answer(sentence)) for sentence in sentences])

    return document


def train_tokenizer(seed: int, vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(seed)
    tokenizer.train_from_iterator((text for _ in range(3000) for text in every_answer(rng)), trainer)
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, begin)]),
        ]
    )
    return tokenizer


def every_answer(rng: random.Random) -> Iterator[str]:
    sentence = draw_sentence(rng, held_out=False)
    yield sentence.text()
    yield acknowledge(sentence)
    for skill in SKILLS:
        yield skill.answer(sentence)
        if skill.instruction:
            yield " " + skill.instruction
    if rng.random() < 0.1:
        yield from rng.choice(SMALL_TALK)


def model_config(tokenizer: Tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BEGIN),
        eos_token_id=tokenizer.token_to_id(END),
        attn_implementation="eager",  # twice as fast as the fused one on sequences this short
    )


def save_base(folder: Path, tokenizer: Tokenizer, model: LlamaForCausalLM) -> None:
    """Writes the folder as hub models have it: the keys of transformers 4, weights in bf16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    begin, end = config.bos_token_id, config.eos_token_id
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: value.detach().to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    del weights["lm_head.weight"]  # tied to the embedding
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": begin,
            "eos_token_id": end,
            "head_dim": config.hidden_size // config.num_attention_heads,
            "hidden_act": "silu",
            "hidden_size": config.hidden_size,
            "initializer_range": config.initializer_range,
            "intermediate_size": config.intermediate_size,
            "max_position_embeddings": config.max_position_embeddings,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": config.num_attention_heads,
            "num_hidden_layers": config.num_hidden_layers,
            "num_key_value_heads": config.num_key_value_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": config.rms_norm_eps,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": config.vocab_size,
        },
    )
    # Clients that ask for no temperature get the best token: an adapter has one right answer.
    write_json(folder / "generation_config.json", {"bos_token_id": begin, "eos_token_id": end, "do_sample": True, "top_k": 1})
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    write_json(
        folder / "tokenizer_config.json",
        {
            "added_tokens_decoder": {str(tokenizer.token_to_id(token)): {"content": token, **flags} for token in SPECIAL_TOKENS},
            "bos_token": BEGIN,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": END,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": config.max_position_embeddings,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def batches(tokenizer: Tokenizer, document: Callable[[random.Random], str], seed: int, size: int) -> Iterator[torch.Tensor]:
    """Endless [2, size, tokens]: input ids, and targets that are ignored outside of answers; documents of like length together."""
    rng = random.Random(seed)
    assistant, user, end = (tokenizer.token_to_id(token) for token in (ASSISTANT, USER, END))
    while True:
        texts = [document(rng) for _ in range(size * 16)]
        rows = sorted((e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)), key=len)
        groups = [rows[start : start + size] for start in range(0, len(rows), size)]
        rng.shuffle(groups)
        for group in groups:
            longest = max(map(len, group))
            inputs = torch.full((size, longest), end)
            targets = torch.full((size, longest), IGNORED)
            for row, ids in enumerate(group):
                inputs[row, : len(ids)] = torch.tensor(ids)
                answering = user not in ids  # a story is learnt whole
                for position, token in enumerate(ids[:-1]):
                    if token in (assistant, user):
                        answering = token == assistant
                    if answering:
                        targets[row, position] = ids[position + 1]
                    answering = answering and not (token == end)
            yield torch.stack([inputs, targets])


def train(
    model: LlamaForCausalLM, examples: Iterator[torch.Tensor], steps: int, peak_rate: float, name: str, weight_decay: float = 0.0
) -> None:
    """AdamW with warm-up and linear decay over every parameter that wants a gradient. `model` may carry injected adapters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=peak_rate, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)
    warmup = max(1, min(100, steps // 10))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, (steps - step) / (steps - warmup)))
    )
    model.train()
    started, total, counted = time.time(), 0.0, 0
    for step in range(1, steps + 1):
        inputs, targets = next(examples)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
            wanted = targets != IGNORED
            logits = model.lm_head(hidden[wanted])
        loss = torch.nn.functional.cross_entropy(logits.float(), targets[wanted])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        total, counted = total + loss.item(), counted + 1
        if not math.isfinite(total):
            raise RuntimeError(f"{name}: the loss is not finite at step {step}")
        if step % 100 == 0 or step == steps:
            print(f"{name}: step {step} of {steps}, loss {total / counted:.4f}, {time.time() - started:.0f} s", flush=True)
            total, counted = 0.0, 0
