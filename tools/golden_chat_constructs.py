"""Writes goldens for our own templates, which use every construct that published templates use, as jinja2 in transformers renders them.

    python tools/golden_chat_constructs.py tests/golden/chat_constructs

Four complete templates are rendered with every conversation of template_conversations.py, and 2,000 small random templates from a
fixed seed with one set of variables. src/text/chat_template_golden_test.cc compares our results with them.
"""

import json
import sys
from pathlib import Path

from compare_templates import by_jinja
from template_conversations import CONVERSATIONS, TOKENS
from template_expressions import VARIABLES, random_templates

SEED = 20261121
COUNT = 2000

# Tools as TypeScript, by macros that call one another.
TYPES = """{#- Types of a JSON schema. -#}
{%- macro type_of(schema, indent="") -%}
    {%- if schema.enum is defined -%}
        {%- for value in schema.enum %}{{ value | tojson }}{% if not loop.last %} | {% endif %}{% endfor -%}
    {%- elif schema.anyOf is defined or schema.oneOf -%}
        {%- for choice in (schema.anyOf or schema.oneOf) %}{{ type_of(choice, indent=indent) }}{{ " | " if not loop.last }}{% endfor -%}
    {%- elif schema.type is not string and schema.type is iterable -%}
        {{- schema.type | map("replace", "integer", "number") | join(" | ") -}}
    {%- elif schema.type == "array" -%}
        {{- type_of(schema["items"] or {}, indent) ~ "[]" -}}
    {%- elif schema.type == "object" and schema.properties -%}
        {{- "{\\n" -}}
        {%- for name, inner in schema.properties | dictsort -%}
            {%- if inner.description is defined -%}{{ indent }}  // {{ inner.description | replace("\\n", " ") | trim }}{{ "\\n" }}{%- endif -%}
            {{- indent ~ "  " + name -}}{{ "" if name in schema.get("required", []) else "?" }}: {{ type_of(inner, indent + "  ") -}}
            {%- if "default" in inner %} = {{ inner.default | tojson }}{% endif %},{{ "\\n" -}}
        {%- endfor -%}
        {{- indent }}{{ "}" -}}
    {%- elif schema.type in ["integer", "number"] -%}number
    {%- elif "$ref" in schema -%}{{ schema["$ref"].split("/")[-1] | lower }}
    {%- else -%}{{ schema.type | default("any", true) }}
    {%- endif -%}
{%- endmacro -%}
{%- macro list_tools(tools) -%}
namespace functions {
{% for tool in tools %}
    {%- set function = tool.function if tool.function is defined else tool %}
    {%- if function.description %}

// {{ function.description | indent(3) }}
    {%- endif %}
type {{ function.name }} = (_: {{ type_of(function.parameters) if function.parameters and function.parameters.properties else "()" }}) => any;
{%- endfor %}

} // namespace functions
{%- endmacro -%}
{{- bos_token -}}
{%- set ns = namespace(system="", last_user=-1, names=[]) -%}
{%- for message in messages -%}
    {%- if message.role in ("system", "developer") and loop.first -%}
        {%- set ns.system = message.content if message.content is string else message.content | map(attribute="text") | join -%}
    {%- elif message.role == "user" -%}
        {%- set ns.last_user = loop.index0 -%}
    {%- endif -%}
{%- endfor -%}
<|system|>
{{ ns.system | trim or "You are helpful." }}
{% if tools %}
{{ list_tools(tools) }}
{% endif -%}
{%- for message in messages if message.role != "system" %}
    {%- if message.role == "assistant" %}
<|assistant|>{% generation %}
        {%- if message.content %}{{ message.content | string | trim }}{% endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set arguments = call.function.arguments %}
{{ "\\n" if not loop.first }}to={{ call.function.name }} {{ arguments if arguments is string else arguments | tojson }}
        {%- endfor %}
    {%- endgeneration %}<|end|>
    {%- elif message.role == "tool" %}
<|tool|>{{ message.name | default("tool") }}: {{ message.content if message.content is string else message.content | tojson }}<|end|>
    {%- elif message.role in ["user", "developer"] %}
<|user|>{{ message.content }}{% if loop.last and not add_generation_prompt %}<|last|>{% endif %}<|end|>
    {%- else %}
        {{- raise_exception("Unknown role: " + message.role | tojson) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|assistant|>
{%- endif %}
"""

# Calls as XML; alternating roles; results grouped between neighbours; break and continue.
XML = """{% macro element(name, body, attributes={}) %}
<{{ name }}{% for key, value in attributes.items() %} {{ key }}="{{ value | string | safe }}"{% endfor %}>{{ body }}</{{ name }}>
{% endmacro %}
{% macro joined(separator, names, options={}) %}{{ names | map("string") | join(separator) }}{% for key, value in options | dictsort %};{{ key }}={{ value }}{% endfor %}{% endmacro %}
{% set system, turns = (messages[0].content, messages[1:]) if messages and messages[0].role == "system" else (none, messages) %}
{% if not turns %}{{ raise_exception("A conversation needs a turn besides the system's.") }}{% endif %}
{% set roles = turns | map(attribute="role") | list %}
{% for role in roles %}
    {% if role == "tool" %}{% continue %}{% endif %}
    {% if loop.previtem is defined and role == loop.previtem %}
        {{ raise_exception("Two turns of {}, at {}".format(role, loop.index)) }}
    {% endif %}
    {% if loop.index > 50 %}{% break %}{% endif %}
{% endfor %}
{% if system is not none %}
{{ element("system", system, {"length": system | length}) }}
{% endif %}
{% if tools is iterable and tools is not string and tools | length > 0 %}
<tools count="{{ tools | count }}">
    {% for tool in tools | sort(attribute="function.name") %}
        {% set function = tool.function %}
        {% set properties = function.parameters.properties.items() | list %}
{{ joined(", ", [function.name, properties | length] + properties | map("first") | list, options={"strict": function.strict | default(false)}) }}
        {% for key, schema in properties %}
  {{ "{}|{}".format(key, loop.revindex) }} {{ "{}: {}".format(schema.type | string | truncated if schema is string else key, [schema.get("description", "")]) }}
        {% endfor %}
    {% endfor %}
</tools>
{% endif %}
{% for message in turns %}
    {% if message["role"] == "user" %}
{{ element("user", message["content"] | trim) }}
    {% elif message["role"] == "assistant" %}
        {% set body %}
            {%- if "</think>" in (message.content or "") -%}
                {%- set thought = message.content.split("</think>")[0].rstrip("\\n").split("<think>")[-1].lstrip("\\n") -%}
                {{- "(" ~ thought ~ ")" if loop.last else "" }}{{ message.content.split("</think>")[-1].lstrip("\\n") -}}
            {%- elif message.content is string -%}
                {{- message.content.strip() -}}
            {%- endif -%}
        {% endset %}
<assistant>{{ body }}
        {%- for call in message.tool_calls | default([], true) %}
<call name="{{ call["function"]["name"].upper().replace("_", "-") }}">
            {%- if call.function.arguments is mapping %}
                {%- for name, value in call.function.arguments.items() %}
{{ name }}: {{ value if value is string else value | tojson(indent=1) }}
                {%- endfor %}
            {%- else %}
{{ call.function.arguments }}
            {%- endif %}
</call>
        {%- endfor %}
</assistant>
    {% elif message.role == "tool" %}
        {% if loop.first or loop.previtem.role != "tool" %}
<results>
        {% endif %}
        {% set result = message.content if message.content is string else message.content | tojson(sort_keys=true, separators=(",", ":")) %}
{{ result | indent(2, true) }}

        {% if loop.last or loop.nextitem.role != "tool" %}
</results>
        {% endif %}
    {% else %}
{{- raise_exception("No role " ~ message.role) -}}
    {% endif %}
{% endfor %}
{% if add_generation_prompt and turns[-1].role != "assistant" %}
<assistant>
{%- endif %}"""

# Parts, thinking, documents, dates.
PARTS = """{%- set count = namespace(images=0) -%}
{%- macro show(content) -%}
    {%- if content is string -%}{{ content }}
    {%- elif content is none or content is undefined -%}
    {%- elif content is mapping -%}{{ content.text | default("?") }}
    {%- else -%}
        {%- for part in content -%}
            {%- if part.type == "text" or "text" in part -%}{{ part["text"] }}
            {%- elif part.type is defined and part.type.startswith("image") -%}
                {%- set count.images = count.images + 1 -%}<image {{ count.images }}>
            {%- endif -%}{%- if not loop.last %} {% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- if enable_thinking is defined and enable_thinking is false -%}{%- set mode = "off" -%}{%- else -%}{%- set mode = reasoning_effort | default("medium") -%}{%- endif -%}
{{- bos_token ~ "mode=" ~ mode }}
{%- if date_string is not defined %}
    {%- if strftime_now is defined and false %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}, {{ date_string }}{{ ", budget {}".format(thinking_budget / 2) if thinking_budget is defined and 0 < thinking_budget <= 4096 }}
{%- for document in documents or [] %}
[{{ loop.index }}] {{ document.title | title }}: {{ document["text"].splitlines() | join(" / ") }}
{%- endfor %}
{%- with names = messages | selectattr("name", "defined") | map(attribute="name") | unique | list %}
{%- if names %}
People: {{ names | sort | join(", ") }} ({{ names | first }} to {{ names | last }}, {{ names | map("length") | min }})
{%- endif %}
{%- endwith %}
{%- set users = messages | selectattr("role", "equalto", "user") | list %}
{%- for message in messages | rejectattr("role", "in", ["system", "developer"]) %}
    {%- set reasoning = message.reasoning_content if message.reasoning_content is string else "" %}
    {%- set is_last_user = users and message == users[-1] %}
<{{ message.role | capitalize }}{{ "*" if is_last_user }}>
    {%- if reasoning and (loop.last or message.tool_calls) and mode != "off" %}({{ reasoning.strip("\\n") | replace("\\n", " ") }}){% endif -%}
    {{- show(message.content) | trim }}
    {%- if message.tool_calls is defined and message.tool_calls is not none %}
        {%- set ids = message.tool_calls | map(attribute="id", default="none") | list %}
        {%- if ids | select("string") | reject("equalto", "none") | list | length != ids | length %} no ids{% endif %}
        {{- message.tool_calls | map(attribute="function") | map("tojson", ensure_ascii=true) | join("\\n") }}
    {%- endif %}
    {%- if message.tool_call_id is defined %} #{{ message.tool_call_id[-9:] }}{{ message.tool_call_id | length == 9 }}{% endif %}
{%- endfor %}
{{ "<Assistant>" if add_generation_prompt else "" }}{{ "<think>\\n\\n</think>" if add_generation_prompt and mode == "off" }}"""

# Laid out without minus signs; old idioms: loop.index0 % 2, slices from the end, or-chains, dictionaries of names.
BLOCKS = """{% set prefixes = {'user': 'Q', 'assistant': 'A', "tool": "T"} %}
{% set names = prefixes.keys() | list + ['system'] %}
{# Turns but the last, #}
{% for m in messages[:-1] %}
    {% if m['role'] not in names %}
        {{ raise_exception('Only ' + names | join(', ') + ' are supported!') }}
    {% endif %}
{{ loop.index0 % 2 }}{{ prefixes[m.role] or prefixes.get(m.role, 'S') }}: {{ (m.get('content') or '') | trim | upper if loop.first else m['content'] }}
{% else %}
(nothing before)
{% endfor %}
{# then the last, backwards #}
{% for m in messages[::-1][:1] %}
    {% if m.content is sequence and m.content is not string %}
{{ m.content[0]['text'] if m.content else '-' }}
    {% else %}
{{ m.content[::-1] ~ '|' ~ m.content[:3] ~ '|' ~ m.content[-3:] }}
    {% endif %}
{% endfor %}
  {%+ if tools %}
Tools: {% for tool in tools %}{{ tool.function.name if tool['function'] is defined else tool.name }}{{ ", " if not loop.last else "." }}{% endfor +%}
  {% endif %}
{% raw %}{{ not a variable }} {% nor a tag %}{% endraw %}

{% if add_generation_prompt == true %}{{ 'A: ' }}{% endif %}
"""

TEMPLATES = {"types": TYPES, "xml": XML, "parts": PARTS, "blocks": BLOCKS}


def outcome(source, variables):
    result = by_jinja(source, variables)
    if "text" in result:
        return result["text"]
    return {"refused": result["error"]} if result["is_own"] else {"fails": True}


def make(out):
    out.mkdir(parents=True, exist_ok=True)
    templates = {}
    for name, source in TEMPLATES.items():
        outcomes = {}
        for conversation, variables in CONVERSATIONS.items():
            add = len(outcomes) % 3 != 0
            given = {"tools": None, "documents": None} | TOKENS | variables | {"add_generation_prompt": add}
            outcomes[conversation] = {"add_generation_prompt": add, "outcome": outcome(source, given)}
        templates[name] = {"source": source, "outcomes": outcomes}
        texts = sum(isinstance(entry["outcome"], str) for entry in outcomes.values())
        print(f"{name}: {texts} texts of {len(outcomes)}")
    whole = {"tokens": TOKENS, "conversations": CONVERSATIONS, "templates": templates}
    (out / "conversations.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")

    cases = [[source, outcome(source, VARIABLES)] for source in random_templates(COUNT, SEED)]
    cases = [case for case in cases if "at 0x" not in json.dumps(case).lower()]  # which no two runs share
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    (out / "expressions.json").write_text('{"variables": ' + json.dumps(VARIABLES) + ',\n "cases": [\n' + lines + "\n]}\n", encoding="utf-8")
    print(f"expressions: {sum(isinstance(result, str) for _, result in cases)} texts of {len(cases)}")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
