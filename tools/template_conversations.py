"""Conversations that chat templates are tried on, as the variables that a template sees."""

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def user(content, **more):
    return {"role": "user", "content": content, **more}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content, **more):
    return {"role": "system", "content": content, **more}


def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def tool(content, **more):
    return {"role": "tool", "content": content, **more}


def text_parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.\nIn \"celsius\" unless asked \u2014 <b>always</b> & everywhere.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city, e.g. Z\u00fcrich"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 10},
            },
            "required": ["place"],
        },
        "return": {"type": "string", "description": "A sentence."},
    },
}

BOOK = {
    "type": "function",
    "function": {
        "name": "book_table",
        "description": "Book a table.",
        "parameters": {
            "type": "object",
            "properties": {
                "guests": {
                    "type": "array",
                    "description": "Who comes.",
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "age": {"type": "number", "description": "In years."}},
                        "required": ["name"],
                    },
                },
                "options": {
                    "type": "object",
                    "description": "Wishes.",
                    "properties": {
                        "window": {"type": "boolean", "default": False},
                        "price": {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["low", "high"]}]},
                        "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                    },
                    "additionalProperties": {"type": "string"},
                },
                "note": {"$ref": "#/$defs/Note"},
                "when": {"oneOf": [{"type": "string"}, {"type": "null"}], "nullable": True},
            },
            "required": ["guests", "options"],
            "$defs": {"Note": {"type": "object", "properties": {"text": {"type": "string"}}}},
        },
        "strict": True,
    },
}

NOTHING = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}
BARE = {"name": "bare", "description": "A tool without the usual shell.", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}

CALLED = [
    system("You call tools."),
    user("Weather in Z\u00fcrich?"),
    assistant("", tool_calls=[call("get_weather", {"place": "Z\u00fcrich", "days": 2}, id="call00001")]),
    tool('{"temperature": 21.5}', tool_call_id="call00001", name="get_weather"),
    assistant("It is 21.5 degrees."),
    user("Thanks"),
]
PARALLEL = [
    user("Weather in Rome and Oslo, and a table?"),
    assistant(
        "Let me look.",
        tool_calls=[
            call("get_weather", {"place": "Rome"}, id="abcdef123"),
            call("get_weather", {"place": "Oslo", "unit": "celsius"}, id="abcdef124"),
            call("book_table", {"guests": [{"name": "\u5f20", "age": 3.5}], "options": {"window": True, "matrix": [[1, 2], []], "price": None}}, id="abcdef125"),
        ],
    ),
    tool("sunny", tool_call_id="abcdef123", name="get_weather"),
    tool("rain", tool_call_id="abcdef124", name="get_weather"),
    tool('{"ok": true, "table": 7}', tool_call_id="abcdef125", name="book_table"),
]

CONVERSATIONS = {
    "one question": {"messages": [user("Hello")]},
    "system": {"messages": [system("You are terse."), user("Hello")]},
    "turns": {"messages": [system("Be kind."), user("One"), assistant("Two"), user("Three"), assistant("Four"), user("Five")]},
    "turns without system": {"messages": [user("One"), assistant("Two"), user("Three")]},
    "answered": {"messages": [user("One"), assistant("Two")]},
    "spaces": {"messages": [system("  Be kind.\n"), user("\tHello \n"), assistant("  Hi. \n\n"), user(" ")]},
    "empty": {"messages": [system(""), user(""), assistant(""), user("")]},
    "odd characters": {"messages": [user("\u4f60\u597d \U0001f600 \"quoted\" 'single' <b>&amp;</b> {{ x }} {% y %} \\n \\ \u00a0\u2028\x1f\x7f")]},
    "newlines": {"messages": [system("a\r\nb\rc\n\n"), user("line one\nline two\n\n  three")]},
    "control tokens": {"messages": [user("<|im_end|>\n<|im_start|>system\n</s> [/INST] <|eot_id|>")]},
    "two users": {"messages": [user("One"), user("Two")]},
    "assistant first": {"messages": [assistant("I begin."), user("Why?")]},
    "late system": {"messages": [user("Hello"), assistant("Hi"), system("Be terse."), user("Again")]},
    "only system": {"messages": [system("Only a system message.")]},
    "none": {"messages": []},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, user("Hello")]},
    "unknown role": {"messages": [{"role": "narrator", "content": "It rains."}, user("Hello")]},
    "names": {"messages": [system("s", name="boss"), user("Hello", name="ann"), assistant("Hi", name="bot"), user("x", name="bob")]},
    "content missing": {"messages": [user("Hello"), {"role": "assistant"}, user("Again")]},
    "content none": {"messages": [user("Hello"), assistant(None), user("Again")]},
    "content none with calls": {
        "messages": [user("Hello"), assistant(None, tool_calls=[call("now", {}, id="123456789")]), tool("12:00", tool_call_id="123456789")],
        "tools": [NOTHING],
    },
    "parts": {"messages": [system(text_parts("Be kind.")), user(text_parts("One", "Two \u00fc")), assistant(text_parts("Three")), user(text_parts("Four"))]},
    "parts empty": {"messages": [user([])]},
    "image": {"messages": [user([{"type": "image"}, {"type": "text", "text": "What is it?"}])]},
    "image url": {"messages": [user([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}])]},
    "thought": {"messages": [user("Hello"), assistant("<think>\nhm\n</think>\n\nHi."), user("Again")]},
    "thought last": {"messages": [user("Hello"), assistant("<think>\nhm\n</think>\n\nHi.")]},
    "reasoning": {"messages": [user("Hello"), assistant("Hi.", reasoning_content="hm\n", reasoning="hm\n", thinking="hm\n"), user("Again")]},
    "reasoning last": {"messages": [user("Hello"), assistant("Hi.", reasoning_content="Long\nthought.")]},
    "reasoning with calls": {
        "messages": [
            user("Weather?"),
            assistant("", reasoning_content="I need it.", thinking="I need it.", tool_calls=[call("get_weather", {"place": "Rome"}, id="call00001")]),
            tool("sunny", tool_call_id="call00001", name="get_weather"),
        ],
        "tools": [WEATHER],
    },
    "thinking on": {"messages": [system("s"), user("Hello")], "enable_thinking": True, "thinking": True},
    "thinking off": {"messages": [system("s"), user("Hello")], "enable_thinking": False, "thinking": False},
    "thinking budget": {"messages": [user("Hello")], "thinking_budget": 512, "reasoning_effort": "high", "enable_thinking": True},
    "effort low": {"messages": [system("s"), user("Hello")], "reasoning_effort": "low", "model_identity": "You are a test."},
    "tools": {"messages": [user("Hello")], "tools": [WEATHER, BOOK, NOTHING]},
    "tools and system": {"messages": [system("You call tools."), user("Hello")], "tools": [WEATHER]},
    "tools without shell": {"messages": [user("Hello")], "tools": [BARE]},
    "tools empty": {"messages": [user("Hello")], "tools": []},
    "called": {"messages": CALLED, "tools": [WEATHER]},
    "called without tools": {"messages": CALLED},
    "called, waiting": {"messages": CALLED[:4], "tools": [WEATHER, NOTHING]},
    "called, no result": {"messages": CALLED[:3], "tools": [WEATHER]},
    "parallel": {"messages": PARALLEL, "tools": [WEATHER, BOOK]},
    "parallel, answered": {"messages": [*PARALLEL, assistant("Done."), user("Thanks")], "tools": [WEATHER, BOOK]},
    "arguments as text": {
        "messages": [user("x"), assistant("", tool_calls=[call("get_weather", '{"place": "Rome"}', id="123456789")]), tool("sunny", tool_call_id="123456789")],
        "tools": [WEATHER],
    },
    "result as parts": {
        "messages": [user("x"), assistant("", tool_calls=[call("now", {}, id="123456789")]), tool(text_parts("12:00", "noon"), tool_call_id="123456789", name="now")],
        "tools": [NOTHING],
    },
    "result as object": {
        "messages": [user("x"), assistant("", tool_calls=[call("now", {}, id="123456789")]), tool({"time": [12, 0.5, True, None]}, tool_call_id="123456789", name="now")],
        "tools": [NOTHING],
    },
    "calls empty": {"messages": [user("x"), assistant("Hi", tool_calls=[]), user("y")], "tools": [NOTHING]},
    "documents": {
        "messages": [user("Which is taller?")],
        "documents": [{"title": "Tall \"towers\"", "text": "One.\nTwo."}, {"title": "More", "text": "\u00dcber", "id": 3}],
    },
    "documents and tools": {"messages": [system("s"), user("x")], "documents": [{"title": "T", "text": "t"}], "tools": [WEATHER]},
    "date": {"messages": [system("s"), user("Hello")], "date_string": "21 Nov 2026", "current_date": "2026-11-21"},
    "tools in user message": {"messages": [system("s"), user("Hello")], "tools": [WEATHER, BOOK], "tools_in_user_message": False},
    "builtin tools": {"messages": [user("Hello")], "tools": [WEATHER], "builtin_tools": ["browser", "python"], "custom_tools": None},
}
