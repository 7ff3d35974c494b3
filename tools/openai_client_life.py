"""Checks of everything around generation: models, errors, clients that leave, many at once; run by openai_client_test.py."""

import asyncio
import itertools
import time

import openai
from openai import OpenAI

from openai_client_session import (
    CONCURRENT,
    MESSAGES,
    PROMPT,
    check,
    expect,
    expect_equal,
    expect_refused,
    mixed_requests,
    stream_together,
    streamed_text,
)

SETTLE_SECONDS = 15
LONG = 4000  # tokens asked for, at most, by the client that goes away


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
    expect_refused(openai.BadRequestError, lambda: session.chat(response_format={"type": "xml"}), "response_format")


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


@check
def errors_name_their_field(session):
    """The exception's param is the place at fault, its code a word for programs."""

    def error_of(call):
        try:
            call()
        except openai.APIStatusError as error:
            return error
        return None

    for param, keys in [
        ("prompt[1]", {"prompt": [1, 10**9]}),
        ("stop[1]", {"stop": ["a", ""]}),
        ("n", {"n": 9}),
        ("best_of", {"best_of": 2}),
        ("suffix", {"suffix": "end"}),
        ("min_tokens", {"extra_body": {"min_tokens": 20}}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("truncation_side", {"extra_body": {"truncation_side": "middle"}}),
        ("guided_json", {"extra_body": {"guided_json": 1}}),
    ]:
        error = error_of(lambda keys=keys: session.complete(**keys))
        expect(isinstance(error, openai.BadRequestError), f"{param}: {error!r}")
        expect_equal((error.param, error.code, error.type), (param, "invalid_request_error", "invalid_request_error"), "param, code, type")
    error = error_of(lambda: session.complete(max_tokens=10**6))
    expect_equal((error.param, error.code), ("max_tokens", "context_length_exceeded"), "a context that is too long")
    error = error_of(lambda: session.chat(messages=[*MESSAGES, {"role": "user", "content": [{"type": "image_url"}]}]))
    expect_equal(error.param, "messages[1].content[0].type", "param")
    error = error_of(lambda: session.complete(model="no-such-model"))
    expect_equal((error.status_code, error.code, error.param), (404, "model_not_found", "model"), "a model that nobody knows")
    expect_equal(error_of(lambda: session.client.post("/nowhere", cast_to=object)).status_code, 404, "a path that nobody knows")
