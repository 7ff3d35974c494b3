"""Six small tokenizers in the shapes of GPT-2, Llama 2, Llama 3, Mistral, Qwen 2 and Gemma, and what they make of the case strings.

Besides the written cases there is a sample of what tools/compare_tokenizers.py draws: the same seeded strings for all, made with
the special tokens of the first five.
"""

import json
import random
from pathlib import Path

from golden_corpus import case_strings, training_lines
from tokenizer_shapes import SHAPES, Training
from tokenizer_strings import distinct_strings
from tokenizers import Tokenizer

VOCAB_SIZES = {"gpt2": 650, "llama2": 420, "llama3": 600, "mistral": 460, "qwen2": 700, "gemma": 440}  # pieces; bytes and specials come on top
SAMPLE = {"count": 2400, "seed": 20261121, "longest": 40}


def encode_cases(tokenizer):
    cases = []
    for text in case_strings():
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        ids_special = tokenizer.encode(text, add_special_tokens=True).ids
        cases.append(
            {
                "text": text,
                "ids": ids,
                "ids_special": ids_special,
                "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                "decoded_skip_special": tokenizer.decode(ids_special, skip_special_tokens=True),
            }
        )
    return cases


def decode_cases(tokenizer):
    """Ids no text would give: cut characters, lone continuation bytes, specials anywhere, every token alone."""
    rng = random.Random(5)
    size = tokenizer.get_vocab_size()
    emoji = tokenizer.encode("\U0001f600\u4f60\u597d\u00e9", add_special_tokens=False).ids
    lists = [[index] for index in range(size)]
    lists += [emoji[:cut] for cut in range(len(emoji))] + [emoji[cut:] for cut in range(len(emoji))]
    lists += [[rng.randrange(size) for _ in range(rng.randint(2, 12))] for _ in range(60)]
    lists += [[rng.randrange(min(size, 260)) for _ in range(rng.randint(2, 8))] for _ in range(60)]
    return [
        {
            "ids": ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_skip_special": tokenizer.decode(ids, skip_special_tokens=True),
        }
        for ids in lists
    ]


def check_features(name, tokenizer, cases):
    """The shapes must show in the results, else the fixture proves nothing."""
    ids_of = {case["text"]: case["ids"] for case in cases}
    if name in ("llama2", "mistral"):
        byte_ids = [tokenizer.token_to_id(token) for token in ("<0xF0>", "<0x9F>")]
        assert all(index in ids_of["\U0001f600"] for index in byte_ids), name
        assert tokenizer.token_to_id("\u2581" * 8) in ids_of[" " * 34 + "deep"], name
    if name == "gemma":
        assert tokenizer.decode(tokenizer.encode(" a").ids[1:]) == " a", name  # no space is added, none taken off
        assert tokenizer.encode("\n\n\na", add_special_tokens=False).ids[0] == tokenizer.token_to_id("\n\n\n"), name
    if name == "qwen2":
        assert ids_of["e\u0301"] == ids_of["\u00e9"], name
        assert len(ids_of["1234"]) == 4, name
    if name == "llama3":
        assert ids_of["camelCaseName snake_case_name kebab-case-name"][0] == tokenizer.token_to_id("camelCaseName"), name
        assert ids_of["e\u0301"] != ids_of["\u00e9"], name
    assert sum(len(case["ids"]) < len(case["text"]) for case in cases) > 60, name  # merges act


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_cases(path, cases, decodes):
    """One case per line, so that a changed case is one changed line."""

    def lines(items):
        return ",\n".join("    " + json.dumps(item, ensure_ascii=True) for item in items)

    path.write_text('{\n  "encode": [\n' + lines(cases) + '\n  ],\n  "decode": [\n' + lines(decodes) + "\n  ]\n}\n", encoding="utf-8")


def write_sample(out, tokenizers):
    """The strings once, and each tokenizer's ids of them without special tokens: a line for each."""
    specials = {token.content for name, tokenizer in tokenizers.items() if name != "gemma" for token in tokenizer.get_added_tokens_decoder().values()}
    strings = distinct_strings(specials=specials, **SAMPLE)

    def write(path, items, **style):
        path.write_text("[\n" + ",\n".join(json.dumps(item, **style) for item in items) + "\n]\n", encoding="utf-8")

    write(out / "sample.json", strings)
    for name, tokenizer in tokenizers.items():
        encodings = (tokenizer.encode(string, add_special_tokens=False) for string in strings)
        write(out / name / "sample_ids.json", (encoding.ids for encoding in encodings), separators=(",", ":"))


def make(out: Path):
    made = {}
    for name, build in SHAPES.items():
        folder = out / "tokenizers" / name
        file, config = build(Training(training_lines(), VOCAB_SIZES[name]))
        write_json(folder / "tokenizer.json", file)
        write_json(folder / "tokenizer_config.json", config)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        size = tokenizer.get_vocab_size()
        assert 600 <= size <= 1000, (name, size)
        cases = encode_cases(tokenizer)
        check_features(name, tokenizer, cases)
        write_cases(folder / "cases.json", cases, decode_cases(tokenizer))
        print(f"tokenizers/{name}: {size} tokens, {len(cases)} strings")
        made[name] = tokenizer
    write_sample(out / "tokenizers", made)
