#!/usr/bin/env python3
"""Encoding and loading on one thread: slora beside the `tokenizers` package, for the seven tokenizers of tools/compare_tokenizers.py.

usage: tokenizer_speed.py TOKENIZER_SPEED [--work FOLDER] [--only NAME ...]

TOKENIZER_SPEED is the program of bench/tokenizer_speed.cc. The text is a megabyte of prose (what Debian installs under /usr/share/doc and
common-licenses) and code (Python's library), half and half. `tokenizers` runs its faster call, encode_batch_fast, which keeps no offsets.
Both are timed by processor time, which others on the machine disturb less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from compare_tokenizers import make_tokenizers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

HALF_BYTES = 500_000
PIECE_BYTES = 4096


def half_of(paths):
    text = ""
    for path in sorted(paths):
        try:
            text += path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if len(text) > HALF_BYTES:
            break
    return text[:HALF_BYTES]


def text_of_bench():
    library = Path(sysconfig.get_paths()["stdlib"]).glob("[j-z]*.py")
    return half_of([*Path("/usr/share/common-licenses").iterdir(), *Path("/usr/share/doc").glob("*/*.md")]) + half_of(library)


def pieces_of(text):
    """Cut as the program cuts: at the first line end behind 4 KiB."""
    data = text.encode()
    pieces = []
    while data:
        end = data.find(b"\n", PIECE_BYTES - 1)
        cut = len(data) if end < 0 else end + 1
        pieces.append(data[:cut].decode())
        data = data[cut:]
    return pieces


def median_seconds(work):
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds)


def reference(path, text):
    megabytes = len(text.encode()) / 1e6
    load = median_seconds(lambda: Tokenizer.from_file(str(path)))
    tokenizer = Tokenizer.from_file(str(path))
    pieces = pieces_of(text)
    return {
        "load_ms": load * 1e3,
        "whole_mb_per_s": megabytes / median_seconds(lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False)),
        "pieces_mb_per_s": megabytes / median_seconds(lambda: tokenizer.encode_batch_fast(pieces, add_special_tokens=False)),
        "tokens": [
            len(tokenizer.encode(text, add_special_tokens=False).ids),
            sum(len(tokenizer.encode(piece, add_special_tokens=False).ids) for piece in pieces),
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program tokenizer_speed")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "compare_tokenizers", help="keeps what was trained")
    parser.add_argument("--only", nargs="+", help="names of tokenizers")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    text = text_of_bench()
    text_file = arguments.work / "speed.txt"
    text_file.write_text(text, encoding="utf-8")

    print(f"{len(text.encode())} bytes; MB/s whole and in pieces, loading in ms: slora | tokenizers | slora's share")
    for name, path in make_tokenizers(arguments.work).items():
        if arguments.only and name not in arguments.only:
            continue
        ours = json.loads(subprocess.run([arguments.program, path, text_file], stdout=subprocess.PIPE, check=True).stdout)
        theirs = reference(path, text)
        assert ours["tokens"] == theirs["tokens"], (name, ours["tokens"], theirs["tokens"])
        keys = ("whole_mb_per_s", "pieces_mb_per_s", "load_ms")
        numbers = [" ".join(f"{side[key]:7.2f}" for key in keys) for side in (ours, theirs)]
        shares = " ".join(f"{ours[key] / theirs[key]:5.2f}" for key in keys)
        print(f"{name:10} {numbers[0]} | {numbers[1]} | {shares}", flush=True)


if __name__ == "__main__":
    main()
