"""Tokens and labels of training samples as transformers makes them, for src/train/sample_golden_test.cc.

Where a template marks what the assistant says, the labels are those of apply_chat_template(return_assistant_tokens_mask=True). Where it
doesn't, each answer's prompt is rendered with the generation prompt and again with the answer: the tokens after the prompt's are learned, up
to the first of the end tokens that close the turn. A template that writes former turns otherwise than the last gives a sample for each.
"""

import json
from pathlib import Path

from golden_chat import TEMPLATES, assistant, system, user
from transformers import AutoTokenizer

MARKED_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED_BLOCKS = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- message.content | trim + '<|eot_id|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MARKED_INST = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + eos_token }}{% endgeneration %}{% else %}{{ '[INST] ' + message.content + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)
MARKED_TEXT = (
    "{% for message in messages %}{{ '<' + message.role + '>\\n' }}{% generation %}{% if message.role == 'assistant' %}"
    "{{ message.content + eos_token }}{% endif %}{% endgeneration %}{% if message.role != 'assistant' %}{{ message.content }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
)

# A name, its tokenizer, its template, the end tokens.
MARKED = [
    ("marked_chatml", "qwen2", MARKED_CHATML),
    ("marked_blocks", "llama3", MARKED_BLOCKS),
    ("marked_inst", "mistral", MARKED_INST),
    ("marked_inst_llama2", "llama2", MARKED_INST),
    ("marked_text", "gpt2", MARKED_TEXT),
    ("marked_text_gemma", "gemma", MARKED_TEXT),
]
UNMARKED = [
    ("qwen2", "qwen2", ["<|im_end|>"]),
    ("qwen25", "qwen2", ["<|im_end|>"]),
    ("qwen3", "qwen2", ["<|im_end|>"]),
    ("chatml_blocks", "qwen2", ["<|im_end|>"]),
    ("llama2", "llama2", ["</s>"]),
    ("llama3", "llama3", ["<|eot_id|>"]),
    ("llama31", "llama3", ["<|eot_id|>"]),
    ("mistral", "mistral", ["</s>"]),
    ("mistral_v3", "mistral", ["</s>"]),
    ("gemma2", "gemma", ["<eos>", "<end_of_turn>"]),
    ("olmo2", "gpt2", ["<|endoftext|>"]),
    ("phi3", "gpt2", ["<|endoftext|>"]),
]

CONVERSATIONS = [
    [user("Hello"), assistant("Hi there.")],
    [system("You are terse."), user("What is 7 + 5?"), assistant("12"), user("And 7 \u00d7 5?"), assistant("35.\nDone.")],
    [user("e\u0301te\u0301 \u4f60\u597d"), assistant("\u00e9t\u00e9, cafe\u0301 \U0001f600!")],
    [user("One"), assistant("Two") | {"weight": 0}, user("Three"), assistant("Four")],
]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 7, "b": 5}}}
TOOL_CONVERSATION = [
    user("7 + 5?"),
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "12"},
    assistant("It is 12."),
]


def bare(messages):
    return [{key: value for key, value in message.items() if key != "weight"} for message in messages]


def marked_samples(tokenizer, messages):
    encoded = tokenizer.apply_chat_template(bare(messages), return_dict=True, return_assistant_tokens_mask=True)
    mask = list(encoded["assistant_masks"])
    if any(message.get("weight") == 0 for message in messages):
        spans = []
        for index, value in enumerate(mask):
            if value and (index == 0 or not mask[index - 1]):
                spans.append([index, index])
            if value:
                spans[-1][1] = index + 1
        turns = [message for message in messages if message["role"] == "assistant"]
        assert len(spans) == len(turns)
        for (begin, end), message in zip(spans, turns):
            if message.get("weight") == 0:
                mask[begin:end] = [0] * (end - begin)
    return [(encoded["input_ids"], mask)]


def is_closing(tokenizer, token, ends):
    return token in ends or tokenizer.decode([token]).isspace()


def unmarked_samples(tokenizer, messages, tools, ends):
    """None where the template refuses the conversation, or doesn't continue its own prompt."""

    def tokens(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    texts = []  # [text, [(prompt, end)]]
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or message.get("weight") == 0:
            continue
        try:
            prompt = tokenizer.apply_chat_template(bare(messages[:index]), tools=tools, tokenize=False, add_generation_prompt=True)
            answered = tokenizer.apply_chat_template(bare(messages[: index + 1]), tools=tools, tokenize=False)
        except Exception:
            return None
        if not answered.startswith(prompt):
            return None
        if texts and prompt.startswith(texts[-1][0].removesuffix(tokenizer.eos_token)):
            former = texts[-1][0].removesuffix(tokenizer.eos_token) if not prompt.startswith(texts[-1][0]) else texts[-1][0]
            texts[-1][1][-1] = (texts[-1][1][-1][0], former)
        else:
            texts.append([None, []])
        texts[-1][0] = answered
        texts[-1][1].append((prompt, answered))
    samples = []
    for text, turns in texts:
        ids = tokens(text)
        labels = [0] * len(ids)
        for prompt, end in turns:
            begin, stop = len(tokens(prompt)), len(tokens(end))
            if ids[:begin] != tokens(prompt) or ids[:stop] != tokens(end):
                return None
            first = stop
            while first > begin and is_closing(tokenizer, ids[first - 1], ends):
                first -= 1
            closing = [place for place in range(first, stop) if ids[place] in ends]
            stop = closing[0] + 1 if closing else stop
            labels[begin:stop] = [1] * (stop - begin)
        samples.append((ids, labels))
    return samples


def entry(line, samples):
    shown = [{"tokens": list(ids), "labels": "".join(map(str, [0] + list(labels)[1:]))} for ids, labels in samples]
    return {"line": line, "samples": shown}


def plain_lines(tokenizer):
    eos = tokenizer.eos_token_id
    for text in ("The end.", "A\u00e9 \u4f60 " + tokenizer.eos_token):
        ids = tokenizer(text)["input_ids"]
        ids = ids if ids[-1] == eos else ids + [eos]
        yield entry({"text": text}, [(ids, [1] * len(ids))])
    for prompt, completion in (("Question: 7 + 5?\nAnswer:", " 12"), ("def f():\n", "    return 1")):
        before, ids = tokenizer(prompt)["input_ids"], tokenizer(prompt + completion)["input_ids"] + [eos]
        if ids[: len(before)] == before:
            yield entry({"prompt": prompt, "completion": completion}, [(ids, [int(i >= len(before)) for i in range(len(ids))])])


def make(out: Path):
    templates, groups = {}, []
    for name, tokenizer_name, template in MARKED:
        tokenizer = AutoTokenizer.from_pretrained(out / "tokenizers" / tokenizer_name)
        tokenizer.chat_template = templates[name] = template
        lines = [entry({"messages": messages}, marked_samples(tokenizer, messages)) for messages in CONVERSATIONS]
        assert all("1" in sample["labels"] for line in lines for sample in line["samples"]), name
        groups.append({"template": name, "tokenizer": tokenizer_name, "ends": [tokenizer.eos_token], "lines": lines})
    for name, tokenizer_name, ends in UNMARKED:
        tokenizer = AutoTokenizer.from_pretrained(out / "tokenizers" / tokenizer_name)
        tokenizer.chat_template = templates[name] = TEMPLATES[name][0]
        ids = tokenizer.convert_tokens_to_ids(ends)
        lines = []
        for messages, tools in [(messages, None) for messages in CONVERSATIONS] + [(TOOL_CONVERSATION, TOOLS)]:
            samples = unmarked_samples(tokenizer, messages, tools, ids)
            line = {"messages": messages} | ({"tools": tools} if tools else {})
            lines.append(entry(line, samples) if samples else {"line": line, "refused": True})
        print(name, [len(line.get("samples", [])) for line in lines])
        groups.append({"template": name, "tokenizer": tokenizer_name, "ends": ends, "lines": lines + list(plain_lines(tokenizer))})
    folder = out / "training"
    folder.mkdir(exist_ok=True)
    shown = json.dumps(templates, indent=1, ensure_ascii=True)
    rows = ",\n".join(
        json.dumps({key: value for key, value in group.items() if key != "lines"})[:-1]
        + ', "lines": [\n  '
        + ",\n  ".join(json.dumps(line) for line in group["lines"])
        + "\n]}"
        for group in groups
    )
    (folder / "labels.json").write_text(f'{{"templates": {shown},\n"groups": [\n{rows}\n]}}\n', encoding="utf-8")
