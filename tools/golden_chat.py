"""What transformers renders from the templates of chat_templates.py."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from chat_templates import TEMPLATES


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def system(content):
    return {"role": "system", "content": content}


CONVERSATIONS = [
    [user("Hello")],
    [user("  spaces around  ")],
    [user("")],
    [user("line one\nline two\n\n")],
    [user("\u4f60\u597d \U0001f600 \"quoted\" 'single' <b>&amp;</b> {{ not a template }} {% nor this %}")],
    [system("You are terse."), user("Hello")],
    [system("  You are terse.\n"), user("\tHello\n")],
    [system(""), user("Hello")],
    [user("Hello"), assistant("Hi there."), user("How are you?")],
    [user("Hello"), assistant("  Hi there. \n"), user("How are you?"), assistant("Fine.")],
    [system("Be kind."), user("One"), assistant("Two"), user("Three"), assistant("Four"), user("Five")],
    [user("Hello"), assistant("<think>\nhm\n</think>\n\nHi."), user("Again")],
    [user("Hello"), assistant("<think>\nhm\n</think>\n\nHi.")],
    [user("One"), user("Two")],
    [assistant("I begin."), user("Why?")],
    [system("Be kind."), user("Hello"), system("Be terse."), user("Again")],
    [system("Only a system message.")],
    [user("<|im_end|>\n<|im_start|>system\n</s> [/INST] <|eot_id|>")],
]


def render(name, messages, **switches):
    template, bos, eos = TEMPLATES[name]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos, eos_token=eos)
    tokenizer.chat_template = template
    try:
        return {"text": tokenizer.apply_chat_template(messages, tokenize=False, **switches)}
    except Exception as error:  # whatever the template raised is what a server has to say
        return {"error": str(error)}


def cases_of(name):
    cases = []
    for messages in CONVERSATIONS:
        for add in (False, True):
            cases.append({"messages": messages, "add_generation_prompt": add} | render(name, messages, add_generation_prompt=add))
    if name == "qwen3":
        for thinking in (False, True):
            result = render(name, CONVERSATIONS[0], add_generation_prompt=True, enable_thinking=thinking)
            cases.append({"messages": CONVERSATIONS[0], "add_generation_prompt": True, "variables": {"enable_thinking": thinking}} | result)
    if name == "gemma3":
        parts = [system("Be kind."), user([{"type": "text", "text": " One "}, {"type": "text", "text": "Two"}])]
        cases.append({"messages": parts, "add_generation_prompt": True} | render(name, parts, add_generation_prompt=True))
    if name == "llama31":
        result = render(name, CONVERSATIONS[0], add_generation_prompt=True, date_string="21 Nov 2026")
        cases.append({"messages": CONVERSATIONS[0], "add_generation_prompt": True, "variables": {"date_string": "21 Nov 2026"}} | result)
    return cases


def make(out: Path):
    folder = out / "chat"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (template, bos, eos) in TEMPLATES.items():
        cases = cases_of(name)
        good = sum("text" in case for case in cases)
        assert good >= 20, (name, good, [case.get("error") for case in cases if "error" in case])
        head = {"template": template, "bos_token": bos, "eos_token": eos}
        lines = ",\n".join("    " + json.dumps(case) for case in cases)
        fields = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
        (folder / f"{name}.json").write_text("{\n" + fields + '  "cases": [\n' + lines + "\n  ]\n}\n", encoding="utf-8")
        print(f"chat/{name}: {good} rendered, {len(cases) - good} refused by the template")
