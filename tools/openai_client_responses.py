"""Checks of /v1/responses and /v1/embeddings; run by openai_client_test.py."""

import base64
import math
import struct

import openai

from openai_client_session import check, expect, expect_equal, expect_refused

INPUT = "Write one short sentence about the sea."
ORDER = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


def respond(session, **keys):
    return session.client.responses.create(**({"model": session.base, "input": INPUT, "max_output_tokens": 16, "temperature": 0} | keys))


@check
def responses(session):
    """A response of every model; its text is the chat's, and usage counts the same tokens."""
    for name in session.names:
        answer = respond(session, model=name)
        chat = session.chat(model=name, messages=[{"role": "user", "content": INPUT}], max_tokens=16)
        expect_equal(answer.output_text, chat.choices[0].message.content, f"{name}: text")
        expect_equal((answer.object, answer.model, answer.store), ("response", name, False), "object, model, store")
        expect_equal(answer.usage.input_tokens, chat.usage.prompt_tokens, "input_tokens")
        expect_equal(answer.usage.output_tokens, chat.usage.completion_tokens, "output_tokens")
        expect(answer.usage.input_tokens_details.cached_tokens >= 0, "no cached_tokens")
        cut = chat.choices[0].finish_reason == "length"
        expect_equal(answer.status, "incomplete" if cut else "completed", "status")


@check
def responses_stream(session):
    """Typed events in OpenAI's order, numbered; deltas join to the text; the stream helper accepts them."""
    plain = respond(session)
    events = list(respond(session, stream=True))
    expect_equal([event.sequence_number for event in events], list(range(len(events))), "sequence_number")
    kinds = list(dict.fromkeys(event.type for event in events))
    expect_equal(kinds[:-1], ORDER, "order of events")
    expect_equal("".join(event.delta for event in events if event.type == ORDER[4]), plain.output_text, "deltas")
    expect_equal(events[-1].response.output_text, plain.output_text, "text of the last event")
    with session.client.responses.stream(model=session.base, input=INPUT, max_output_tokens=16, temperature=0) as stream:
        snapshots = [event.snapshot for event in stream if event.type == ORDER[4]]
    expect_equal(snapshots[-1], plain.output_text, "snapshot of the helper")


@check
def responses_items(session):
    """Instructions and items are the messages of a chat; metadata comes back; log-probabilities where they are included."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Say something."}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "The sea is wide."}]},
        {"role": "user", "content": "And deep?"},
    ]
    answer = respond(session, input=items, instructions="Be brief.", metadata={"a": "b"}, store=True)
    messages = [{"role": "system", "content": "Be brief."}]
    messages += [{"role": item["role"], "content": item["content"] if isinstance(item["content"], str) else item["content"][0]["text"]} for item in items]
    chat = session.chat(messages=messages, max_tokens=16)
    expect_equal(answer.output_text, chat.choices[0].message.content, "text")
    expect_equal((answer.metadata, answer.instructions), ({"a": "b"}, "Be brief."), "metadata, instructions")
    scored = respond(session, include=["message.output_text.logprobs"], top_logprobs=2)
    entries = scored.output[0].content[0].logprobs
    expect_equal({len(entry.top_logprobs) for entry in entries}, {2}, "top_logprobs")


@check
def responses_refusals(session):
    """What would have to be stored, and what isn't served, is refused by its name."""
    bad = openai.BadRequestError
    expect_refused(bad, lambda: respond(session, previous_response_id="resp_1"), "previous_response_id")
    expect_refused(bad, lambda: respond(session, background=True), "background")
    expect_refused(bad, lambda: respond(session, tools=[{"type": "web_search"}]), "tools[0].type")
    expect_refused(bad, lambda: respond(session, max_output_tokens=0), "max_output_tokens")
    expect_refused(openai.NotFoundError, lambda: respond(session, model="nobody"), "nobody")
    expect_refused(openai.NotFoundError, lambda: session.client.responses.retrieve("resp_1"))


def embed(session, **keys):
    return session.client.embeddings.create(**({"model": session.base, "input": INPUT} | keys))


def floats(numbers):
    return struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@check
def embeddings(session):
    """Embeddings of every model have length 1, are the same alone and in a list, and depend on text and model."""
    seen = []
    for name in session.names:
        alone = embed(session, model=name).data[0].embedding
        expect(abs(sum(x * x for x in alone) - 1) < 1e-4, f"{name}: length is not 1")
        together = embed(session, model=name, input=[INPUT, "A dog sleeps.", INPUT])
        expect_equal(together.data[0].embedding, alone, "in a list")
        expect_equal(together.data[2].embedding, alone, "in a list")
        expect(cosine(alone, together.data[1].embedding) < 0.99999, "two texts are one")
        expect(together.usage.prompt_tokens == together.usage.total_tokens > 0, "usage")
        seen.append(alone)
    expect_equal(len({tuple(vector) for vector in seen}), len(seen), "models with embeddings of their own")


@check
def embedding_forms(session):
    """Numbers and base64 are the same; dimensions cut; both poolings; token ids."""
    numbers = embed(session, encoding_format="float").data[0].embedding
    coded = embed(session, encoding_format="base64").data[0].embedding
    expect_equal(struct.unpack(f"<{len(numbers)}f", base64.b64decode(coded)), floats(numbers), "base64")
    expect_equal(floats(embed(session).data[0].embedding), floats(numbers), "the client's own form")
    short = embed(session, dimensions=8).data[0].embedding
    expect(len(short) == 8 and cosine(short, numbers[:8]) > 0.9999, "dimensions")
    mean = embed(session, extra_body={"pooling": "mean"}).data[0].embedding
    expect(cosine(mean, numbers) < 0.9999, "the mean is the last")
    expect_equal(len(embed(session, input=[[5, 6, 7], [8]]).data), 2, "token ids")
    expect_refused(openai.BadRequestError, lambda: embed(session, dimensions=10**6), "dimensions")
    expect_refused(openai.BadRequestError, lambda: embed(session, input=[]), "input")
