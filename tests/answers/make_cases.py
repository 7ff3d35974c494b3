#!/usr/bin/env python3
"""Writes families.json: texts as models of each family write them, with the events that an answer of such a text has.

The expected events are made from the same values as the texts, not by parsing them.
"""

import json
import pathlib

ALL_TYPES = {"s": "text", "i": -3, "n": 2.5, "yes": True, "no": False, "none": None, "list": [1, "two", [3]], "object": {"k": {"d": 1}}}
ESCAPES = {"quote": 'say "hi"', "path": "C:\\dir\nnext\tline", "word": "Zürich 東京 🙂", "tags": "<b>{x}</b> [y]"}
ONE = [("get_weather", {"city": "Paris"})]
TWO = [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET", "format": "24h"})]


def json_text(value):
    return json.dumps(value, ensure_ascii=False)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def entry(name, arguments, key="arguments"):
    return '{"name": "%s", "%s": %s}' % (name, key, json_text(arguments))


def entries(calls, separator=", "):
    return separator.join(entry(*call) for call in calls)


def xml(calls):
    def value(v):
        return v if isinstance(v, str) else json_text(v)

    def call(name, arguments):
        pairs = "".join(f"<parameter={k}>\n{value(v)}\n</parameter>\n" for k, v in arguments.items())
        return f"<tool_call>\n<function={name}>\n{pairs}</function>\n</tool_call>"

    return "\n".join(call(*c) for c in calls)


def python(calls, start="[", end="]", separator=", "):
    def call(name, arguments):
        return "%s(%s)" % (name, ", ".join(f"{k}={v!r}" for k, v in arguments.items()))

    return start + separator.join(call(*c) for c in calls) + end


def gemma(calls, begin="<|tool_call>call:", end="<tool_call|>", quote='<|"|>'):
    def value(v):
        if isinstance(v, str):
            return quote + v + quote
        if isinstance(v, dict):
            return "{" + ",".join(f"{k}:{value(x)}" for k, x in v.items()) + "}"
        if isinstance(v, list):
            return "[" + ",".join(value(x) for x in v) + "]"
        return json.dumps(v)

    return "".join(f"{begin}{name}{value(arguments)}{end}" for name, arguments in calls)


def harmony(calls):
    def call(name, arguments):
        return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{json_text(arguments)}<|call|>"

    return "<|start|>assistant".join(call(*c) for c in calls)


def deepseek(calls):
    inner = "\n".join(
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{json_text(arguments)}\n```<｜tool▁call▁end｜>" for name, arguments in calls
    )
    return f"<｜tool▁calls▁begin｜>{inner}<｜tool▁calls▁end｜>"


# family: (calls to text, arguments to text, whether text may stand before and after, a malformed call, the events of that)
FAMILIES = {
    "hermes": (
        lambda calls: "\n".join(f"<tool_call>\n{entry(*c)}\n</tool_call>" for c in calls),
        json_text, True, True,
        '<tool_call>\n{"name": "f", "arguments": {"a": oops}\n</tool_call>',
        [["call", "f"], ["arguments", '{"a": oops}']],
    ),
    "qwen_xml": (xml, json_text, True, True, "<tool_call>\n<function f>\n</tool_call>", [["content", "<tool_call>\n<function f>\n</tool_call>"]]),
    "llama3_json": (
        lambda calls: "; ".join(entry(*c, key="parameters") for c in calls),
        json_text, False, True, '{"name": 1, "parameters": {}}', [["content", '{"name": 1, "parameters": {}}']],
    ),
    "pythonic": (python, json_text, False, True, "[f(1, 2)]", [["call", "f"], ["arguments", "1, 2"]]),
    "mistral_list": (
        lambda calls: "[TOOL_CALLS][" + entries(calls) + "]",
        json_text, True, True, '[TOOL_CALLS][{"nam": "f"}]', [["content", '[TOOL_CALLS][{"nam": "f"}]']],
    ),
    "mistral_args": (
        lambda calls: "".join(f"[TOOL_CALLS]{n}[ARGS]{json_text(a)}" for n, a in calls),
        json_text, True, True, '[TOOL_CALLS]f[ARGS]{"a": }', [["call", "f"], ["arguments", '{"a": }']],
    ),
    "phi4_mini": (
        lambda calls: "functools[" + entries(calls) + "]",
        json_text, True, True, "functools[f, g]", [["content", "functools[f, g]"]],
    ),
    "granite": (
        lambda calls: "<|tool_call|>[" + entries(calls) + "]",
        json_text, True, True, '<|tool_call|>[{"name": "f", "arguments": {]', [["call", "f"], ["arguments", "{]"]],
    ),
    "gemma4": (gemma, compact, True, True, "<|tool_call>call f{}<tool_call|>", [["content", "<|tool_call>call f{}<tool_call|>"]]),
    "harmony": (
        harmony, json_text, False, False,
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": <|call|>',
        [["call", "f"], ["arguments", '{"a": ']],
    ),
    "deepseek_v3": (
        deepseek, json_text, True, True,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁call▁end｜>",
        [["content", "<｜tool▁call▁begin｜>f<｜tool▁call▁end｜>"]],
    ),
}


def events_of(calls, arguments_text):
    events = []
    for name, arguments in calls:
        events += [["call", name], ["arguments", arguments_text(arguments)]]
    return events


def family_cases(family):
    write, arguments_text, has_text_before, has_text_after, malformed, malformed_events = FAMILIES[family]
    others = [f"f.{k}" for k, v in ALL_TYPES.items() if not isinstance(v, str)]

    def case(what, text, events, **more):
        return {"case": f"{family}: {what}", "family": family, "text": text, "events": events, **more}

    yield case("no call", "Hello, world.\nBye {x}.", [["content", "Hello, world.\nBye {x}."]])
    for what, calls in (
        ("one call", ONE),
        ("parallel calls", TWO),
        ("all types", [("f", ALL_TYPES)]),
        ("no arguments", [("f", {})]),
        ("escapes", [("f", ESCAPES)]),
    ):
        yield case(what, write(calls), events_of(calls, arguments_text), others=others)
    calls = events_of(TWO, arguments_text)
    if has_text_before:
        yield case("text before", "Let me look.\n\n" + write(TWO), [["content", "Let me look."]] + calls)
    if has_text_after:
        yield case("text after", write(TWO) + "\nThat is it.", calls + [["content", "That is it."]])
    yield case("malformed", malformed, malformed_events)


def further_cases():
    def case(what, text, events, family="", **more):
        return {"case": what, "family": family, "text": text, "events": events, **more}

    hermes = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    called = [["call", "f"], ["arguments", '{"a": 1}']]
    yield case("reasoning, then content", "<think>\nHm.\n</think>\n\nHello.", [["reasoning", "Hm."], ["content", "Hello."]], reasoning="think")
    yield case("reasoning that never ends", "<think>on and on", [["reasoning", "on and on"]], reasoning="think")
    yield case("an opening mark in the prompt", "Hm.</think>Hello.", [["reasoning", "Hm."], ["content", "Hello."]], reasoning="think", before="<think>\n")
    yield case("marks of calls in reasoning are text", f"<think>{hermes}</think>{hermes}", [["reasoning", hermes]] + called, "hermes", reasoning="think")
    yield case("a mark of reasoning in content is text", "Write <think> first.", [["content", "Write <think> first."]], "hermes", reasoning="think")
    yield case("Magistral", "[THINK]Hm.[/THINK]Hello.", [["reasoning", "Hm."], ["content", "Hello."]], reasoning="mistral")
    yield case("Gemma 4", "<|channel>thought\nHm.<channel|>Hello.", [["reasoning", "Hm."], ["content", "Hello."]], "gemma4", reasoning="gemma4")
    yield case(
        "gpt-oss: reasoning and a call",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant" + harmony([("f", {"a": 1})]),
        [["reasoning", "Hm."]] + called, "harmony", reasoning="harmony",
    )
    yield case(
        "gpt-oss: reasoning and an answer",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>",
        [["reasoning", "Hm."], ["content", "Hello."]], "harmony", reasoning="harmony",
    )
    yield case("arguments before the name", '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', called, "hermes")
    yield case("arguments as a string", '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', called, "hermes")
    yield case("no arguments at all", '<tool_call>{"name": "f"}</tool_call>', [["call", "f"], ["arguments", "{}"]], "hermes")
    yield case("one brace too many", '<tool_call>{"name": "f", "arguments": {"a": 1}}}</tool_call>', called, "hermes")
    yield case("no end mark", '<tool_call>\n{"name": "f", "arguments": {"a": 1}}', called, "hermes")
    yield case("cut in the arguments", '<tool_call>\n{"name": "f", "arguments": {"a": "b', [["call", "f"], ["arguments", '{"a": "b']], "hermes", end="cut")
    yield case("cut before the name", 'Hm. <tool_call>\n{"nam', [["content", 'Hm. <tool_call>\n{"nam']], "hermes", end="cut")
    yield case("not JSON", "Hm. <tool_call>\nno</tool_call> more", [["content", "Hm. <tool_call>\nno</tool_call> more"]], "hermes")
    yield case("cut in a value", "<function=f>\n<parameter=a>\nb", [["call", "f"], ["arguments", '{"a": "b']], "qwen_xml", end="cut")
    yield case("python_tag", '<|python_tag|>{"name": "f", "parameters": {"a": 1}}', called, "llama3_json")
    yield case("an object that is no call", '{"answer": 42}', [["content", '{"answer": 42}']], "llama3_json")
    yield case("a list that is no call", "[1, 2] is a list.", [["content", "[1, 2] is a list."]], "pythonic")
    yield case("Llama 4's marks", "<|python_start|>[f(a=1)]<|python_end|>", called, "pythonic")
    yield case("OLMo 3's marks", "<function_calls>\nf(a=true)\ng()\n</function_calls>", [["call", "f"], ["arguments", '{"a": true}'], ["call", "g"], ["arguments", "{}"]], "pythonic")
    yield case("one object without a list", '[TOOL_CALLS]{"name": "f", "arguments": {"a": 1}}', called, "mistral_list")
    yield case("no [ARGS]", '[TOOL_CALLS]f{"a": 1}', called, "mistral_args")
    yield case("Granite 3.1's mark", '<tool_call>[{"name": "f", "arguments": {"a": 1}}]', called, "granite")
    yield case("FunctionGemma", "<start_function_call>call:f{a:1}<end_function_call>", [["call", "f"], ["arguments", '{"a":1}']], "gemma4")


cases = [case for family in FAMILIES for case in family_cases(family)] + list(further_cases())
lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
pathlib.Path(__file__).with_name("families.json").write_text(f"[\n{lines}\n]\n")
