"""Checks of what vLLM adds to the API: scores, token ids, adapters by name; run by openai_client_test.py."""

import openai

from openai_client_session import PROMPT, check, expect, expect_equal, expect_refused


def forced(session, ids, token):
    """Log-probability that the model gives one token after others, as an output token's."""
    answer = session.complete(prompt=ids, max_tokens=1, logprobs=0, logit_bias={str(token): 100}, extra_body={"ignore_eos": True})
    return answer.choices[0].logprobs.token_logprobs[0]


@check
def scores(session):
    """echo with max_tokens=0 and logprobs scores the prompt; each score is what the token has as output."""
    for name in session.names[:3]:
        scored = session.complete(model=name, echo=True, max_tokens=0, logprobs=2)
        choice = scored.choices[0]
        entries = choice.logprobs
        expect_equal(choice.text, PROMPT, "the text")
        expect_equal(len(entries.tokens), scored.usage.prompt_tokens, "scored tokens")
        expect_equal(scored.usage.completion_tokens, 0, "completion_tokens")
        expect_equal((entries.token_logprobs[0], entries.top_logprobs[0]), (None, None), "scores of the first token")
        for token, value, top in zip(entries.tokens[1:], entries.token_logprobs[1:], entries.top_logprobs[1:], strict=True):
            expect(value <= 1e-6 and top[token] == value, f"logprob {value} of {token!r}, {top}")
            expect(2 <= len(top) <= 3, f"{len(top)} top_logprobs")
    ids = [5, 9, 12, 40, 7]
    entries = session.complete(prompt=ids, echo=True, max_tokens=0, logprobs=0).choices[0].logprobs
    for index in range(1, len(ids)):
        wanted = forced(session, ids[:index], ids[index])
        found = entries.token_logprobs[index]
        expect(abs(found - wanted) <= 1e-3 * max(1, abs(wanted)), f"token {index}: {found} in the prompt, {wanted} as output")


@check
def echo_with_logprobs(session):
    """echo with logprobs and output tells both, in one list; streamed the same."""
    keys = {"echo": True, "logprobs": 1, "max_tokens": 4, "extra_body": {"ignore_eos": True}}
    answer = session.complete(**keys)
    entries = answer.choices[0].logprobs
    expect_equal(len(entries.tokens), answer.usage.total_tokens, "tokens")
    expect_equal(entries.text_offset, sorted(entries.text_offset), "offsets")
    tokens, values, offsets = [], [], []
    for chunk in session.complete(stream=True, **keys):
        tokens += chunk.choices[0].logprobs.tokens
        values += chunk.choices[0].logprobs.token_logprobs
        offsets += chunk.choices[0].logprobs.text_offset
    expect_equal((tokens, values, offsets), (entries.tokens, entries.token_logprobs, entries.text_offset), "streamed entries")


@check
def prompt_logprobs(session):
    """prompt_logprobs are echo's scores under their ids, with ranks."""
    echoed = session.complete(echo=True, max_tokens=0, logprobs=0, extra_body={"return_tokens_as_token_ids": True}).choices[0].logprobs
    told = session.complete(extra_body={"prompt_logprobs": 2}).choices[0].model_extra["prompt_logprobs"]
    expect_equal(told[0], None, "the first")
    for name, value, entry in zip(echoed.tokens[1:], echoed.token_logprobs[1:], told[1:], strict=True):
        own = entry[name.removeprefix("token_id:")]
        expect_equal(own["logprob"], value, name)
        better = [other for other in entry.values() if other["rank"] < own["rank"]]
        expect(all(other["logprob"] >= own["logprob"] for other in better), f"ranks of {entry}")
        expect(2 <= len(entry) <= 3 and all(other["decoded_token"] for other in entry.values()), f"{entry}")
    chat = session.chat(extra_body={"prompt_logprobs": 1})
    expect_equal(len(chat.model_extra["prompt_logprobs"]), chat.usage.prompt_tokens, "prompt_logprobs of the chat")
    streamed = {"stream": True, "extra_body": {"prompt_logprobs": 1}}
    expect_refused(openai.BadRequestError, lambda: list(session.complete(**streamed)), "prompt_logprobs")


@check
def returned_token_ids(session):
    """return_token_ids: the ids as a prompt give the same answer; streamed they are the same."""
    keys = {"extra_body": {"return_token_ids": True}}
    choice = session.complete(**keys).choices[0]
    prompt, output = choice.model_extra["prompt_token_ids"], choice.model_extra["token_ids"]
    expect_equal(session.complete(prompt=prompt).choices[0].text, choice.text, "the answer to the ids")
    streamed = list(session.complete(stream=True, **keys))
    expect_equal(streamed[0].choices[0].model_extra["prompt_token_ids"], prompt, "streamed prompt_token_ids")
    expect_equal(sum((chunk.choices[0].model_extra["token_ids"] for chunk in streamed), []), output, "streamed token_ids")
    chat = session.chat(**keys)
    expect_equal(len(chat.model_extra["prompt_token_ids"]), chat.usage.prompt_tokens, "prompt_token_ids of the chat")
    expect_equal(len(chat.choices[0].model_extra["token_ids"]), chat.usage.completion_tokens, "token_ids of the chat")
    again = session.complete(prompt=chat.model_extra["prompt_token_ids"])
    expect_equal(again.choices[0].text, chat.choices[0].message.content, "the answer to the chat's ids")


@check
def truncation(session):
    """truncate_prompt_tokens keeps the end of the prompt, or its start."""
    ids = [5, 9, 12, 40, 7]
    for keys, kept in (({"truncate_prompt_tokens": 2}, ids[-2:]), ({"truncate_prompt_tokens": 2, "truncation_side": "right"}, ids[:2])):
        choice = session.complete(prompt=ids, extra_body={"return_token_ids": True} | keys).choices[0]
        expect_equal(choice.model_extra["prompt_token_ids"], kept, f"{keys}")
    longest = next(iter(session.client.models.list())).model_extra["max_model_len"]
    answer = session.complete(prompt=[5] * (longest + 10), max_tokens=4, extra_body={"truncate_prompt_tokens": -1, "ignore_eos": True})
    expect_equal(answer.usage.total_tokens, longest, "tokens of a prompt that was too long")


@check
def stop_tokens(session):
    """stop_token_ids end the output and are named; include_stop_str_in_output leaves them in."""
    keys = {"ignore_eos": True, "return_token_ids": True, "skip_special_tokens": False}
    choice = session.complete(extra_body=keys).choices[0]
    ids = choice.model_extra["token_ids"]
    stop = ids[len(ids) // 2]
    wanted = ids[: ids.index(stop) + 1]
    stopped = session.complete(extra_body=keys | {"stop_token_ids": [stop]}).choices[0]
    expect_equal((stopped.model_extra["token_ids"], stopped.finish_reason), (wanted, "stop"), "tokens")
    expect_equal(stopped.model_extra["stop_reason"], stop, "stop_reason")
    included = session.complete(extra_body=keys | {"stop_token_ids": [stop], "include_stop_str_in_output": True}).choices[0]
    expect(included.text.startswith(stopped.text) and len(included.text) > len(stopped.text), f"{included.text!r} after {stopped.text!r}")
    held = session.complete(extra_body=keys | {"stop_token_ids": [stop], "min_tokens": len(wanted) + 1}).choices[0]
    expect(len(held.model_extra["token_ids"]) > len(wanted), "min_tokens did not hold back the stop token")


@check
def adapter_fields(session):
    """lora_path and adapter_id name an adapter as model does; two names that differ are refused."""
    for name in session.adapters[:2]:
        wanted = session.complete(model=name).choices[0].text
        for field in ("lora_path", "adapter_id"):
            expect_equal(session.complete(extra_body={field: name}).choices[0].text, wanted, f"{field}={name}")
            expect_refused(openai.NotFoundError, lambda field=field: session.complete(extra_body={field: "../" + field}), field)
    if len(session.adapters) >= 2:
        one, other = session.adapters[:2]
        expect_refused(openai.BadRequestError, lambda: session.complete(model=one, extra_body={"lora_path": other}), "lora_path")
