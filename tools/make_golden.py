#!/usr/bin/env python3
"""Makes tests/golden: tiny random models, adapters and tokenizers, and what the reference libraries make of them.

usage: make_golden.py OUT [--only PART ...]

PART is one of: text (tokenizers and chat templates), models, mixtures (of experts), mix32, families, embeddings (of those), nf4, gguf, foreign, quantised, gradients,
refused. Without --only all are made. Needs torch, transformers, peft, tokenizers, gguf, (nf4) bitsandbytes, and what golden_quantised.py
names; tests/golden/README.md names the versions. One thread, fixed seeds: two runs write the same bytes.
"""

import argparse
import importlib
from pathlib import Path

PARTS = {
    "text": ("golden_tokenizers", "golden_chat", "golden_training"),
    "models": ("golden_models",),
    "mixtures": ("golden_mixtures",),
    "mix32": ("golden_mix", "golden_blends"),
    "families": ("golden_families",),
    "embeddings": ("golden_embeddings",),
    "foreign": ("golden_foreign", "golden_foreign_refused"),
    "nf4": ("golden_nf4",),
    "gradients": ("golden_gradients",),
    "gguf": ("golden_gguf",),
    "quantised": ("golden_quantised",),
    "refused": ("golden_refused",),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write, usually tests/golden")
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    for part in arguments.only:
        for module in PARTS[part]:
            importlib.import_module(module).make(arguments.out)


if __name__ == "__main__":
    main()
