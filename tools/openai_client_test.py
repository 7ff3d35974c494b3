#!/usr/bin/env python3
"""Drives a running slora server through the official openai client, unmodified.

usage: openai_client_test.py --url http://127.0.0.1:8000 --model BASE --adapters NAME [NAME ...]
                             [--api-key KEY] [--only CHECK ...] [--skip CHECK ...] [--list]

Needs only the `openai` package, in an environment of its own:

    python3 -m venv /tmp/client && /tmp/client/bin/pip install openai
    build/slora serve --model demo/model --adapters demo/adapters &
    /tmp/client/bin/python tools/openai_client_test.py --model MODEL --adapters ADAPTER ...

Prints one line per check and ends with 1 if any failed. Answers are compared exactly: greedy or seeded requests must
give the same text alone, streamed, and among others. Nothing is assumed about what the model says.
"""

import argparse
import asyncio
import itertools
import sys
import time
import traceback

import openai
from openai import OpenAI

from openai_client_session import (
    CONCURRENT,
    MESSAGES,
    PROMPT,
    Failed,
    Session,
    expect,
    expect_equal,
    expect_refused,
    expect_usage,
    mixed_requests,
    stream_together,
    streamed_chat,
    streamed_text,
)

CHECKS = {}
UNSERVED = {}  # reasons, by check
SETTLE_SECONDS = 15
LONG = 4000  # tokens asked for, at most, by the client that goes away


def check(function):
    CHECKS[function.__name__] = function
    return function


def unserved(reason):
    """Marks a check of what the server refuses by name; it runs only with --only."""

    def mark(function):
        UNSERVED[function.__name__] = reason
        return check(function)

    return mark


@check
def health_and_metrics(session):
    """/health answers 200; /metrics has the vllm:* names."""
    expect_equal(session.get("/health")[0], 200, "/health")
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:prompt_tokens_total", "vllm:generation_tokens_total"):
        session.metric(name)


@check
def models_list(session):
    """Base first, then the adapters with it as parent."""
    models = list(session.client.models.list())
    expect_equal(models[0].id, session.base, "the first model")
    ids = [model.id for model in models]
    missing = [name for name in session.adapters if name not in ids]
    expect(not missing, f"not listed: {missing}")
    for model in models:
        expect_equal(model.object, "model", f"object of {model.id}")
        expect(model.created > 0 and model.owned_by, f"created or owned_by of {model.id}")
        if model.id in session.adapters:
            expect_equal(model.model_extra.get("parent"), session.base, f"parent of {model.id}")
    expect(models[0].model_extra.get("max_model_len", 0) > 0, "max_model_len of the base")


@check
def completion(session):
    """A completion of every model: fields, usage, length."""
    for name in session.names:
        answer = session.complete(model=name)
        expect_equal((answer.object, answer.model, len(answer.choices)), ("text_completion", name, 1), "object, model, choices")
        choice = answer.choices[0]
        expect(choice.finish_reason in ("stop", "length"), f"finish_reason {choice.finish_reason}")
        expect_usage(answer.usage)
        expect(answer.usage.completion_tokens <= 16, "more tokens than max_tokens")
        expect(answer.id and answer.created > 0, "id or created")


@check
def completion_stream(session):
    """A streamed completion says what the plain one says."""
    for name in session.names:
        plain = session.complete(model=name).choices[0]
        text, reason, chunks = streamed_text(session.complete(model=name, stream=True))
        expect_equal((text, reason), (plain.text, plain.finish_reason), name)
        expect(chunks >= 1, "no chunks")


@check
def one_event_per_token(session):
    """With ignore_eos there are as many content chunks as tokens."""
    stream = session.complete(stream=True, max_tokens=12, extra_body={"ignore_eos": True})
    contents = sum(bool(chunk.choices and chunk.choices[0].finish_reason is None) for chunk in stream)
    expect(11 <= contents <= 12, f"{contents} events for 12 tokens, the last of which may come with the finish reason")


@check
def ignore_eos(session):
    """ignore_eos gives exactly max_tokens."""
    answer = session.complete(max_tokens=23, extra_body={"ignore_eos": True})
    expect_equal((answer.usage.completion_tokens, answer.choices[0].finish_reason), (23, "length"), "tokens and finish_reason")


@check
def token_ids(session):
    """A prompt of token ids, and lists of prompts."""
    ids = [5, 9, 12, 40, 7]
    answer = session.complete(prompt=ids)
    expect_equal(answer.usage.prompt_tokens, len(ids), "prompt_tokens")
    many = session.complete(prompt=[ids, ids[:3]])
    expect_equal([choice.index for choice in many.choices], [0, 1], "indices")
    expect_equal(many.choices[0].text, answer.choices[0].text, "the first of two prompts")
    expect_equal(many.usage.prompt_tokens, 8, "prompt_tokens of both")
    texts = session.complete(prompt=[PROMPT, PROMPT])
    expect_equal(texts.choices[0].text, texts.choices[1].text, "the same prompt twice")


@check
def stop_strings(session):
    """The text ends before the stop string, streamed or not, wherever tokens cut it."""
    whole = session.complete(max_tokens=24, extra_body={"ignore_eos": True}).choices[0].text
    expect(len(whole) > 4, f"too little text to stop in: {whole!r}")
    middle = len(whole) // 2
    for length in (1, 2, min(5, len(whole) - middle)):
        stop = whole[middle : middle + length]
        wanted = whole[: whole.index(stop)]
        for asked in (stop, [stop], ["\x00never", stop]):
            choice = session.complete(max_tokens=24, stop=asked, extra_body={"ignore_eos": True}).choices[0]
            expect_equal((choice.text, choice.finish_reason), (wanted, "stop"), f"stop={asked!r}")
        text, reason, _ = streamed_text(session.complete(max_tokens=24, stop=stop, stream=True, extra_body={"ignore_eos": True}))
        expect_equal((text, reason), (wanted, "stop"), f"stop={stop!r}, streamed")


@check
def seed(session):
    """A seed repeats a draw; seeds differ."""

    # Whatever the model's defaults and its wish to end at once leave to chance.
    keys = {"temperature": 2.0, "max_tokens": 24, "extra_body": {"top_k": 0, "ignore_eos": True}}

    def draw(number):
        return session.complete(seed=number, **keys).choices[0].text

    expect_equal(draw(7), draw(7), "the same seed twice")
    expect(len({draw(number) for number in range(5)}) > 1, "five seeds drew the same text")
    streamed, _, _ = streamed_text(session.complete(seed=7, stream=True, **keys))
    expect_equal(streamed, draw(7), "the same seed, streamed")


@check
def sampling_fields(session):
    """top_k=1 is greedy; the other fields are taken."""
    greedy = session.complete().choices[0].text
    expect_equal(session.complete(temperature=1.0, extra_body={"top_k": 1}).choices[0].text, greedy, "top_k=1")
    session.complete(
        temperature=0.8,
        top_p=0.9,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        extra_body={"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "min_tokens": 2},
    )


@check
def logit_bias(session):
    """A large bias forces one token."""
    answer = session.complete(logit_bias={"40": 100}, max_tokens=6, logprobs=0, extra_body={"ignore_eos": True})
    expect_equal(len(set(answer.choices[0].logprobs.tokens)), 1, "different tokens")


@check
def stream_usage(session):
    """include_usage adds one last chunk with usage and no choices; without it there is none."""
    plain = session.complete()
    chunks = list(session.complete(stream=True, stream_options={"include_usage": True}))
    expect_equal(chunks[-1].choices, [], "choices of the last chunk")
    expect_usage(chunks[-1].usage)
    expect_equal(chunks[-1].usage.completion_tokens, plain.usage.completion_tokens, "completion_tokens")
    expect(all(chunk.choices for chunk in chunks[:-1]), "a chunk without choices before the last")
    without = list(session.complete(stream=True))
    expect(all(chunk.choices and chunk.usage is None for chunk in without), "usage or an empty chunk that nobody asked for")
    chat = list(session.chat(stream=True, stream_options={"include_usage": True}))
    expect_usage(chat[-1].usage)


@check
def several_choices(session):
    """n=2 gives two choices, streamed and not; a seed repeats both."""
    keys = {"n": 2, "temperature": 1.5, "seed": 3, "max_tokens": 12}
    answer = session.complete(**keys)
    expect_equal([choice.index for choice in answer.choices], [0, 1], "indices")
    texts = ["", ""]
    for chunk in session.complete(stream=True, **keys):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    expect_equal(texts, [choice.text for choice in answer.choices], "streamed choices")
    chat = session.chat(**keys)
    expect_equal([choice.index for choice in chat.choices], [0, 1], "indices of the chat")


@check
def completion_logprobs(session):
    """logprobs=3: one entry per token, none above zero, greedy tokens on top."""
    answer = session.complete(logprobs=3, max_tokens=8, extra_body={"ignore_eos": True})
    entries = answer.choices[0].logprobs
    expect_equal((len(entries.tokens), len(entries.token_logprobs), len(entries.top_logprobs)), (8, 8, 8), "entries")
    for token, value, top in zip(entries.tokens, entries.token_logprobs, entries.top_logprobs, strict=True):
        expect(value <= 1e-6, f"logprob {value} of {token!r}")
        expect(1 <= len(top) <= 4, f"{len(top)} top_logprobs")
        expect(value >= max(top.values()) - 1e-4, f"greedy took {token!r} at {value}, best was {max(top.values())}")
    expect_equal(len(entries.text_offset), 8, "text_offset")


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
def echo(session):
    """echo puts the prompt in front."""
    plain = session.complete().choices[0].text
    expect_equal(session.complete(echo=True).choices[0].text, PROMPT + plain, "echo")


@unserved("log-probabilities of prompts are not served yet")
def prompt_logprobs(session):
    """echo with max_tokens=0 and logprobs scores the prompt."""
    scored = session.complete(echo=True, max_tokens=0, logprobs=1)
    entries = scored.choices[0].logprobs
    expect_equal(len(entries.tokens), scored.usage.prompt_tokens, "scored tokens")
    expect_equal(entries.token_logprobs[0], None, "logprob of the first token")
    expect(all(value <= 1e-6 for value in entries.token_logprobs[1:]), "a logprob above zero")


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
def unknown_fields(session):
    """Fields nobody knows are ignored; x-request-id comes back."""
    session.complete(user="someone", extra_body={"some_unknown_field": {"a": [1, 2]}})
    raw = session.client.completions.with_raw_response.create(
        model=session.base, prompt=PROMPT, max_tokens=1, extra_headers={"x-request-id": "a-client-chose-this"}
    )
    expect_equal(raw.headers.get("x-request-id"), "a-client-chose-this", "x-request-id")


@check
def bad_requests(session):
    """Values out of range or of another type are BadRequestError and name the field."""
    refused = [
        ("temperature", {"temperature": -1}),
        ("temperature", {"temperature": "warm"}),
        ("top_p", {"top_p": 1.5}),
        ("max_tokens", {"max_tokens": -1}),
        ("max_tokens", {"max_tokens": 10**9}),
        ("n", {"n": 0}),
        ("presence_penalty", {"presence_penalty": 9}),
        ("stop", {"stop": 5}),
        ("top_k", {"extra_body": {"top_k": 0.5}}),
        ("min_p", {"extra_body": {"min_p": 2}}),
        ("logprobs", {"logprobs": -2}),
        ("logit_bias", {"logit_bias": {"x": 1}}),
        ("prompt", {"prompt": [1, 10**9]}),
        ("seed", {"seed": "a"}),
    ]
    for word, keys in refused:
        expect_refused(openai.BadRequestError, lambda keys=keys: session.complete(**keys), word)
        expect_refused(openai.BadRequestError, lambda keys=keys: list(session.complete(**keys, stream=True)), word)
    expect_refused(openai.BadRequestError, lambda: session.chat(messages=[]), "messages")
    expect_refused(openai.BadRequestError, lambda: session.chat(messages=[{"role": "user"}]), "content")
    expect_refused(openai.BadRequestError, lambda: session.chat(response_format={"type": "json_object"}), "response_format")


@check
def unknown_names(session):
    """A model or path nobody knows is NotFoundError; a wrong key, where keys are on, AuthenticationError."""
    expect_refused(openai.NotFoundError, lambda: session.complete(model="no-such-model"), "no-such-model")
    expect_refused(openai.NotFoundError, lambda: session.chat(model="no-such-model"), "no-such-model")
    expect_refused(openai.NotFoundError, lambda: session.complete(model="../../etc/passwd"))
    if session.secured:
        stranger = OpenAI(base_url=session.root + "/v1", api_key="wrong", max_retries=0)
        expect_refused(openai.AuthenticationError, lambda: stranger.models.list())


@check
def disconnect(session):
    """A client that goes away in the middle frees its place, and its tokens are not made."""
    before = session.complete().choices[0].text
    asked = min(LONG, next(iter(session.client.models.list())).model_extra["max_model_len"] // 2)
    made = session.metric("vllm:generation_tokens_total")
    with session.complete(stream=True, max_tokens=asked, extra_body={"ignore_eos": True}) as stream:
        for chunk in itertools.islice(stream, 2):
            expect(chunk.choices, "no choices")
    deadline = time.monotonic() + SETTLE_SECONDS
    while session.metric("vllm:num_requests_running") + session.metric("vllm:num_requests_waiting") > 0:
        expect(time.monotonic() < deadline, f"the request still runs {SETTLE_SECONDS} s after its client went away")
        time.sleep(0.05)
    made = session.metric("vllm:generation_tokens_total") - made
    expect(made < asked or asked < 500, f"all {asked} tokens were made for nobody")
    expect_equal(session.complete().choices[0].text, before, "the next answer")


@check
def concurrent_streams(session):
    """Streams over different adapters at once say what each says alone."""
    requests = list(mixed_requests(session))
    alone = [streamed_text(session.client.completions.create(**request))[0] for request in requests]
    for turn in range(2):
        together = asyncio.run(stream_together(session, requests))
        for request, one, other in zip(requests, alone, together, strict=True):
            expect_equal(other, one, f"{request['model']} among {CONCURRENT}, turn {turn}")


@check
def adapters_differ(session):
    """Some adapter says something else than the base."""
    texts = {name: session.complete(model=name, max_tokens=24).choices[0].text for name in session.names}
    chats = {name: session.chat(model=name, max_tokens=24).choices[0].message.content for name in session.names}
    different = sum(texts[name] != texts[session.base] or chats[name] != chats[session.base] for name in session.adapters)
    expect(different > 0 or not session.adapters, "every adapter answers as the base does")


def run_check(session, name):
    started = time.monotonic()
    try:
        CHECKS[name](session)
    except Exception as error:  # whatever goes wrong is the failure of this check alone
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
        where = "" if isinstance(error, Failed) else f" ({type(error).__name__} at line {lines[-1]})"
        print(f"FAIL  {name}: {error}{where}", flush=True)
        return False
    print(f"ok    {name}: {CHECKS[name].__doc__} {time.monotonic() - started:.2f} s", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="base", help="name of the base model")
    parser.add_argument("--adapters", nargs="*", default=[], help="names of adapters")
    parser.add_argument("--api-key")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK")
    parser.add_argument("--skip", nargs="+", choices=CHECKS, default=[], metavar="CHECK")
    parser.add_argument("--list", action="store_true", help="say what is checked")
    arguments = parser.parse_args()
    chosen = arguments.only or [name for name in CHECKS if name not in UNSERVED]
    chosen = [name for name in chosen if name not in arguments.skip]
    if arguments.list:
        print("\n".join(f"{name}: {CHECKS[name].__doc__}" for name in chosen))
        return 0
    if not arguments.only:
        for name, reason in UNSERVED.items():
            print(f"skip  {name}: {reason}")
    session = Session(arguments)
    failed = sum(not run_check(session, name) for name in chosen)
    print(f"{len(chosen) - failed} of {len(chosen)} checks passed, openai {openai.__version__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
