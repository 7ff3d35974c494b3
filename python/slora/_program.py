"""The console script `slora`: the program of the same name."""

from __future__ import annotations

import os
import sys


def main() -> None:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "slora")
    os.execv(program, [program, *sys.argv[1:]])
