"""Checks of /v1/completions; run by openai_client_test.py."""

from openai_client_session import PROMPT, check, expect, expect_equal, expect_usage, streamed_text


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
def echo(session):
    """echo puts the prompt in front."""
    plain = session.complete().choices[0].text
    expect_equal(session.complete(echo=True).choices[0].text, PROMPT + plain, "echo")


@check
def continuous_usage(session):
    """continuous_usage_stats: every chunk counts the tokens so far."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(session.complete(stream=True, stream_options=options, max_tokens=5, extra_body={"ignore_eos": True}))
    expect_equal([chunk.usage.completion_tokens for chunk in chunks], [1, 2, 3, 4, 5, 5], "completion_tokens")
    chat = list(session.chat(stream=True, stream_options=options, max_tokens=3, extra_body={"ignore_eos": True}))
    expect_equal([chunk.usage.completion_tokens for chunk in chat], [0, 1, 2, 3, 3], "completion_tokens of the chat")
