"""Checks of /v1/chat/completions; run by openai_client_test.py."""

import openai

from openai_client_session import MESSAGES, check, expect, expect_equal, expect_refused, expect_usage, streamed_chat


@check
def chat(session):
    """Chat of every model, streamed and not; the role comes first."""
    for name in session.names:
        plain = session.chat(model=name)
        expect_equal(
            (plain.object, plain.model, plain.choices[0].message.role), ("chat.completion", name, "assistant"), "object, model, role"
        )
        expect_usage(plain.usage)
        text, reason, roles = streamed_chat(session.chat(model=name, stream=True))
        expect_equal((text, reason), (plain.choices[0].message.content, plain.choices[0].finish_reason), name)
        expect_equal(roles[:1], ["assistant"], "role of the first chunk")


@check
def chat_forms(session):
    """Content as parts equals content as text; several turns; max_completion_tokens."""
    text = MESSAGES[0]["content"]
    parts = session.chat(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}])
    expect_equal(parts.choices[0].message.content, session.chat().choices[0].message.content, "content as parts")
    turns = [*MESSAGES, {"role": "assistant", "content": "The sea is wide."}, {"role": "user", "content": "And deep?"}]
    longer = session.chat(messages=turns)
    expect(longer.usage.prompt_tokens > parts.usage.prompt_tokens, "more turns are not more tokens")
    limited = session.client.chat.completions.create(
        model=session.base, messages=MESSAGES, max_completion_tokens=3, extra_body={"ignore_eos": True}
    )
    expect_equal(limited.usage.completion_tokens, 3, "max_completion_tokens")


@check
def chat_logprobs(session):
    """logprobs in chat: bytes that join to the text, top_logprobs as many as asked."""
    answer = session.chat(logprobs=True, top_logprobs=2)
    choice = answer.choices[0]
    entries = choice.logprobs.content
    expect(entries, "no entries")
    joined = b"".join(bytes(entry.bytes or []) for entry in entries).decode("utf-8", "replace")
    expect(joined.startswith(choice.message.content), f"bytes join to {joined!r}, the text is {choice.message.content!r}")
    for entry in entries:
        expect(entry.logprob <= 1e-6, f"logprob {entry.logprob}")
        expect_equal(len(entry.top_logprobs), 2, "top_logprobs")
        expect(entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob, "top_logprobs are not sorted")


@check
def chat_tools(session):
    """Tools, tool calls and their results are taken; a call that must be made is made, or refused by a server without forms."""
    tool = {"type": "function", "function": {"name": "tide", "description": "The tide now.", "parameters": {"type": "object"}}}
    turns = [
        *MESSAGES,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"at": "noon"}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "high"}]},
    ]
    for choice in ("auto", "none"):
        answer = session.chat(messages=turns, tools=[tool], tool_choice=choice, parallel_tool_calls=False)
        expect_equal(answer.choices[0].message.role, "assistant", "role")
    for choice in ("required", {"type": "function", "function": {"name": "tide"}}):
        try:
            answer = session.chat(tools=[tool], tool_choice=choice, max_tokens=200)
        except openai.BadRequestError as refused:
            expect_equal(refused.param, "tool_choice", "param")
            continue
        names = [call.function.name for call in answer.choices[0].message.tool_calls or []]
        expect(set(names) == {"tide"} or answer.choices[0].finish_reason == "length", f"calls: {names}")
    expect_refused(openai.BadRequestError, lambda: session.chat(tools=[{"type": "function"}]), "tools[0].function")


@check
def chat_continued(session):
    """continue_final_message goes on with the assistant's words; echo puts them in front."""
    start = "The sea"
    turns = [*MESSAGES, {"role": "assistant", "content": start}]
    new = session.chat(messages=turns, extra_body={"return_token_ids": True})
    continued = session.chat(messages=turns, extra_body={"return_token_ids": True, "continue_final_message": True})
    expect(len(continued.model_extra["prompt_token_ids"]) < len(new.model_extra["prompt_token_ids"]), "the message was closed")
    echoed = session.chat(messages=turns, extra_body={"continue_final_message": True, "echo": True})
    expect_equal(echoed.choices[0].message.content, start + continued.choices[0].message.content, "echo")
    both = {"continue_final_message": True, "add_generation_prompt": True}
    expect_refused(openai.BadRequestError, lambda: session.chat(messages=turns, extra_body=both), "add_generation_prompt")


@check
def chat_template_fields(session):
    """Variables of the template are taken; a template's text is not."""
    session.chat(reasoning_effort="low", extra_body={"chat_template_kwargs": {"enable_thinking": False}, "documents": [{"text": "a"}]})
    expect_refused(openai.BadRequestError, lambda: session.chat(extra_body={"chat_template": "{{ 1 }}"}), "chat_template")
    bare = session.chat(extra_body={"add_generation_prompt": False})
    expect(bare.usage.prompt_tokens < session.chat().usage.prompt_tokens, "the generation prompt was added")
