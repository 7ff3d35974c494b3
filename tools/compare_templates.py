"""Compares slora's chat templates with jinja2 as transformers sets it up.

    python tools/compare_templates.py --program build/tests/render_template --templates FOLDER    # every *.jinja* of a folder
    python tools/compare_templates.py --program build/tests/render_template --random 20000        # generated expressions

Every template meets every conversation below, with and without a generation prompt. Both must give the same text, the same
words of raise_exception, or both an error of another kind.
"""

import argparse
import collections
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jinja2
from template_conversations import CONVERSATIONS, TOKENS
from template_expressions import VARIABLES, random_templates
from transformers.utils.chat_template_utils import _compile_jinja_template


def by_jinja(source, variables):
    try:
        return {"text": _compile_jinja_template(source).render(**copy.deepcopy(variables))}
    except jinja2.exceptions.TemplateError as error:
        is_own = type(error) is jinja2.exceptions.TemplateError  # raise_exception; the others are subclasses
        return {"error": str(error), "is_own": is_own}
    except RecursionError:
        return {"error": "recursion", "is_own": False}
    except Exception as error:  # whatever Python raises inside a template
        return {"error": f"{type(error).__name__}: {error}", "is_own": False}


def by_slora(program, lines):
    with tempfile.TemporaryFile("w+") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
        file.seek(0)
        run = subprocess.run([program], stdin=file, capture_output=True, check=True)
    results = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    assert len(results) == len(lines), (len(results), len(lines))
    return results


def comparable(text):
    """The text without the time of day, which goes on."""
    return re.sub(r"\d\d:\d\d:\d\d", "time", text)


def is_equal(expected, found):
    if "text" in expected:
        return "text" in found and comparable(found["text"]) == comparable(expected["text"])
    if "error" not in found:
        return False
    is_own = found["code"] == "invalid_request_error"
    return is_own == expected["is_own"] and (not is_own or found["error"] == expected["error"])


def shortened(result):
    """The result, and only the surroundings of what is long."""
    text = json.dumps(result)
    return text if len(text) < 600 else text[:300] + " ... " + text[-300:]


def report_difference(name, source, expected, found):
    print(f"DIFFERENT {name}")
    if "text" in expected and "text" in found:
        shared = len(os.path.commonprefix([expected["text"], found["text"]]))
        expected, found = expected["text"][max(shared - 60, 0) :], found["text"][max(shared - 60, 0) :]
    if len(source) < 400:
        print("  source  ", json.dumps(source))
    print("  expected", shortened(expected))
    print("  found   ", shortened(found))


def compare(program, cases, shown_max):
    """cases: (name, source, variables). Prints what differs and returns how many do."""
    results = by_slora(program, [{"template": source, "variables": variables} for _, source, variables in cases])
    counts = collections.Counter()
    for (name, source, variables), found in zip(cases, results, strict=True):
        expected = by_jinja(source, variables)
        if "at0x" in re.sub(r"[^\w]", "", json.dumps(expected).lower()):
            counts["prints an address, not compared"] += 1
            continue
        kind = "text" if "text" in expected else "raise_exception" if expected["is_own"] else "error"
        counts[f"{kind} {'equal' if is_equal(expected, found) else 'different'}"] += 1
        if not is_equal(expected, found):
            counts["different"] += 1
            if counts["different"] <= shown_max:
                report_difference(name, source, expected, found)
    return counts


def template_cases(folder):
    cases = []
    for path in sorted(Path(folder).iterdir()):
        source = path.read_text(encoding="utf-8")
        for name, conversation in CONVERSATIONS.items():
            for add in (False, True):
                variables = {"tools": None, "documents": None} | TOKENS | conversation | {"add_generation_prompt": add}
                cases.append((f"{path.name} / {name} / {add}", source, variables))
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--templates", help="a folder of templates")
    parser.add_argument("--random", type=int, default=0, help="how many generated templates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shown", type=int, default=20, help="how many differences to print")
    arguments = parser.parse_args()

    cases = []
    if arguments.templates:
        cases += template_cases(arguments.templates)
        print(f"{len(cases) // (2 * len(CONVERSATIONS))} templates, {2 * len(CONVERSATIONS)} renderings of each")
    for index, source in enumerate(random_templates(arguments.random, arguments.seed)):
        cases.append((f"random {index}, seed {arguments.seed}", source, VARIABLES))
    counts = compare(arguments.program, cases, arguments.shown)
    for kind in sorted(counts):
        print(f"{counts[kind]:8} {kind}")
    sys.exit(1 if counts["different"] else 0)


if __name__ == "__main__":
    main()
