#!/usr/bin/env python3
"""Drives a running slora server through the official openai client, unmodified.

usage: openai_client_test.py --url http://127.0.0.1:8000 --model BASE --adapters NAME [NAME ...]
                             [--api-key KEY] [--only CHECK ...] [--skip CHECK ...] [--list]

Needs only the `openai` package, in an environment of its own:

    python3 -m venv /tmp/client && /tmp/client/bin/pip install openai
    build/serve/bin/slora serve --model demo/model --adapters demo/adapters &
    /tmp/client/bin/python tools/openai_client_test.py --model MODEL --adapters ADAPTER ...

Prints one line per check and ends with 1 if any failed. Answers are compared exactly: greedy or seeded requests must
give the same text alone, streamed, and among others. Nothing is assumed about what the model says.
"""

import argparse
import sys
import time
import traceback

import openai

import openai_client_chats  # noqa: F401 - each module adds its checks
import openai_client_completions  # noqa: F401
import openai_client_life  # noqa: F401
import openai_client_responses  # noqa: F401
import openai_client_scores  # noqa: F401
from openai_client_session import CHECKS, Failed, Session


def run_check(session, name):
    started = time.monotonic()
    try:
        CHECKS[name](session)
    except Exception as error:  # whatever goes wrong is the failure of this check alone
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if "openai_client_" in frame.filename]
        where = "" if isinstance(error, Failed) else f" ({type(error).__name__} at line {lines[-1]})"
        print(f"FAIL  {name}: {error}{where}", flush=True)
        return False
    print(f"ok    {name}: {CHECKS[name].__doc__} {time.monotonic() - started:.2f} s", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="base", help="name of the base model")
    parser.add_argument("--adapters", nargs="*", default=[], help="names of adapters")
    parser.add_argument("--api-key")
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), metavar="CHECK")
    parser.add_argument("--skip", nargs="+", choices=list(CHECKS), default=[], metavar="CHECK")
    parser.add_argument("--list", action="store_true", help="say what is checked")
    arguments = parser.parse_args()
    chosen = arguments.only or list(CHECKS)
    chosen = [name for name in chosen if name not in arguments.skip]
    if arguments.list:
        print("\n".join(f"{name}: {CHECKS[name].__doc__}" for name in chosen))
        return 0
    session = Session(arguments)
    failed = sum(not run_check(session, name) for name in chosen)
    print(f"{len(chosen) - failed} of {len(chosen)} checks passed, openai {openai.__version__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
