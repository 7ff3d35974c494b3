#!/usr/bin/env python3
"""Prints training data for an adapter of the demo, one conversation a line, for `slora train`.

usage: demo_samples.py SKILL [--count N] [--seed N]

SKILL: shout, reverse, mood, json, pirate, emoji, spanish, question or yoda. The sentences are none of those that demo/eval.json asks about.
"""

import argparse
import json
import random

from demo_text import SKILLS, draw_sentence


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("skill", choices=[skill.name for skill in SKILLS])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    answer = next(skill.answer for skill in SKILLS if skill.name == arguments.skill)
    rng = random.Random(arguments.seed)
    for _ in range(arguments.count):
        sentence = draw_sentence(rng, held_out=False)
        turns = [{"role": "user", "content": sentence.text()}, {"role": "assistant", "content": answer(sentence)}]
        print(json.dumps({"messages": turns}, ensure_ascii=False))


if __name__ == "__main__":
    main()
