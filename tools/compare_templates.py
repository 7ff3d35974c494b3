"""Compares slora's chat templates with jinja2 as transformers sets it up.

    python tools/compare_templates.py --program build/tests/render_template --templates FOLDER    # every *.jinja* of a folder
    python tools/compare_templates.py --program build/tests/render_template --random 20000        # generated expressions

Every template is rendered with every conversation of template_conversations.py: with and without a generation prompt as plain variables
of the template, and with its last message continued as the server does. Both must render the same text, fail with the same message of
raise_exception, or both fail with another error. A few random templates differ: where map, select and similar filters fail on a
member, slora's template fails at once, and Jinja's only if the result is used.
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
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template


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


def continued_by_transformers(source, conversation, takes_parts):
    """What apply_chat_template makes of a last message that is to be continued, given messages as the server passes them on."""
    messages = [{key: value for key, value in message.items() if value is not None} for message in conversation["messages"]]
    for message in messages:
        content = message.get("content", [])
        if takes_parts and isinstance(content, str) and message["role"] != "tool":
            message["content"] = [{"type": "text", "text": content}]
        elif isinstance(content, list) and not takes_parts:
            message["content"] = "\n".join(part["text"] for part in content)
        elif isinstance(content, list) and message["role"] == "tool":
            message["content"] = "\n".join(part["text"] for part in content)
        if "tool_calls" in message and not message["tool_calls"]:
            del message["tool_calls"]
        reasoning = [message[key] for key in ("reasoning_content", "thinking", "reasoning") if key in message]
        if reasoning:  # vLLM's name for it; transformers fills in the other two
            message.setdefault("reasoning", reasoning[0])
    variables = TOKENS | {key: value for key, value in conversation.items() if key not in ("messages", "tools", "documents")}
    try:
        texts, _ = render_jinja_template(
            [messages],
            tools=conversation.get("tools"),
            documents=conversation.get("documents"),
            chat_template=source,
            continue_final_message=True,
            **variables,
        )
        return {"text": texts[0]}
    except Exception as error:  # whatever Python raises
        return {"error": str(error), "is_own": type(error) is jinja2.exceptions.TemplateError}


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


class Tally:
    def __init__(self, shown_max):
        self.counts = collections.Counter()
        self.shown_max = shown_max

    def add(self, name, source, expected, found):
        if "at0x" in re.sub(r"[^\w]", "", json.dumps(expected).lower()):
            self.counts["prints an address, not compared"] += 1
            return
        kind = "text" if "text" in expected else "raise_exception" if expected["is_own"] else "error"
        self.counts[f"{kind} {'equal' if is_equal(expected, found) else 'different'}"] += 1
        if not is_equal(expected, found):
            self.counts["different"] += 1
            if self.counts["different"] <= self.shown_max:
                report_difference(name, source, expected, found)


def compare_variables(program, cases, tally):
    """cases: (name, source, variables)"""
    results = by_slora(program, [{"template": source, "variables": variables} for _, source, variables in cases])
    for (name, source, variables), found in zip(cases, results, strict=True):
        tally.add(name, source, by_jinja(source, variables), found)


def is_served(conversation):
    """Whether the server takes the conversation at all: texts only."""
    contents = [message.get("content") for message in conversation["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return contents and not any(isinstance(content, dict) for content in contents) and all(part["type"] == "text" for part in parts)


def compare_continued(program, folder, tally):
    cases = []
    for path in sorted(Path(folder).iterdir()):
        source = path.read_text(encoding="utf-8")
        for name, conversation in CONVERSATIONS.items():
            if is_served(conversation):
                cases.append((f"{path.name} / {name} / continued", source, conversation))
    lines = []
    for _, source, conversation in cases:
        kwargs = {key: value for key, value in conversation.items() if key not in ("messages", "tools", "documents")}
        asked = {"messages": conversation["messages"], "kwargs": kwargs, "continue_final_message": True}
        for key in ("tools", "documents"):
            asked[key] = conversation.get(key)
        lines.append({"template": source, "tokens": TOKENS, "conversation": asked})
    for (name, source, conversation), found in zip(cases, by_slora(program, lines), strict=True):
        expected = continued_by_transformers(source, conversation, found["takes_parts"])
        if "error" in expected and not expected["is_own"] and "error" in found:
            found["code"] = "E_ANY"  # transformers has its own refusals of what can't be continued
        tally.add(name, source, expected, found)


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

    tally = Tally(arguments.shown)
    if arguments.templates:
        cases = template_cases(arguments.templates)
        print(f"{len(cases) // (2 * len(CONVERSATIONS))} templates, {len(CONVERSATIONS)} conversations")
        compare_variables(arguments.program, cases, tally)
        compare_continued(arguments.program, arguments.templates, tally)
    sources = random_templates(arguments.random, arguments.seed)
    cases = [(f"random {index}, seed {arguments.seed}", source, VARIABLES) for index, source in enumerate(sources)]
    compare_variables(arguments.program, cases, tally)
    for kind in sorted(tally.counts):
        print(f"{tally.counts[kind]:8} {kind}")
    sys.exit(1 if tally.counts["different"] else 0)


if __name__ == "__main__":
    main()
