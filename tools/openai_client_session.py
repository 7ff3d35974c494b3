"""What the checks of openai_client_test.py share: the server's address and names, expectations, reading of streams."""

import asyncio
import itertools
import urllib.request

import openai
from openai import AsyncOpenAI, OpenAI

CONCURRENT = 16
PROMPT = "The capital of France is"
MESSAGES = [{"role": "user", "content": "Write one short sentence about the sea."}]
CHECKS = {}  # by name


def check(function):
    """Marks a check: a function of the session, with a sentence that says what it holds to."""
    CHECKS[function.__name__] = function
    return function


class Session:
    """What the checks share: the client, the names, where the server is."""

    def __init__(self, arguments):
        self.root = arguments.url.rstrip("/")
        self.key = arguments.api_key or "none"
        self.client = OpenAI(base_url=self.root + "/v1", api_key=self.key, max_retries=0, timeout=120)
        self.base = arguments.model
        self.adapters = arguments.adapters
        self.secured = arguments.api_key is not None

    @property
    def names(self):
        return [self.base, *self.adapters]

    def complete(self, **keys):
        return self.client.completions.create(**({"model": self.base, "prompt": PROMPT, "max_tokens": 16, "temperature": 0} | keys))

    def chat(self, **keys):
        return self.client.chat.completions.create(
            **({"model": self.base, "messages": MESSAGES, "max_tokens": 16, "temperature": 0} | keys)
        )

    def get(self, path):
        request = urllib.request.Request(self.root + path, headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()

    def metric(self, name):
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith((name + " ", name + "{"))]
        expect(lines, f"/metrics has no {name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def expect_equal(found, wanted, what):
    expect(found == wanted, f"{what}: expected {wanted!r}, found {found!r}")


def expect_usage(usage):
    expect(usage is not None, "no usage")
    expect(usage.prompt_tokens > 0, "prompt_tokens is not positive")
    expect_equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total_tokens")


def expect_refused(kind, call, word=None):
    try:
        call()
    except kind as error:
        expect(isinstance(error.body, dict) and error.body.get("message"), f"the error has no message: {error.body!r}")
        expect(word is None or word in str(error.body), f"the error does not name {word!r}: {error.body!r}")
        return
    except openai.APIError as error:
        raise Failed(f"expected {kind.__name__}, found {type(error).__name__}: {error}") from None
    raise Failed(f"expected {kind.__name__}, but it was answered")


def streamed_text(stream):
    """Text of a completion stream, its finish reason, and the number of chunks."""
    text, reason, chunks = "", None, 0
    for chunk in stream:
        chunks += 1
        for choice in chunk.choices:
            text += choice.text
            reason = choice.finish_reason or reason
    return text, reason, chunks


def streamed_chat(stream):
    text, reason, roles = "", None, []
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
            reason = choice.finish_reason or reason
    return text, reason, roles


def mixed_requests(session):
    """CONCURRENT requests over all models: greedy and seeded, long and short."""
    for index, name in zip(range(CONCURRENT), itertools.cycle(session.names)):
        sampled = {"temperature": 0.9, "seed": index} if index % 3 == 1 else {"temperature": 0}
        prompt = PROMPT if index % 2 == 0 else " ".join(f"word{number}" for number in range(index))
        yield {"model": name, "prompt": prompt, "max_tokens": 8 + 3 * (index % 7), "stream": True, **sampled}


async def stream_together(session, requests):
    """Texts of completion streams that all run at once."""
    client = AsyncOpenAI(base_url=session.root + "/v1", api_key=session.key, max_retries=0, timeout=300)

    async def run(request):
        text = ""
        async for chunk in await client.completions.create(**request):
            text += "".join(choice.text for choice in chunk.choices)
        return text

    async with client:
        return await asyncio.gather(*(run(request) for request in requests))
