import asyncio
import contextlib
import gc
import threading
import time

import pytest
from conftest import ADAPTERS, MODEL, POOL, prompt_of

import slora
from slora import AsyncLLM, LoRARequest, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=48)
LONG = SamplingParams(temperature=1, seed=1, max_tokens=400, ignore_eos=True)
PROMPT = prompt_of("The queen found a rusty key.")


@pytest.fixture(scope="module")
def engine():
    with AsyncLLM(MODEL, adapters=ADAPTERS, pool_memory=POOL) as made:
        yield made


async def last(answers):
    output = None
    async for output in answers:
        pass
    return output


def wait_until_idle(engine):
    while (stats := engine.engine.native.stats()).running or stats.waiting:
        time.sleep(0.01)


def test_outputs_grow_until_they_are_whole(engine, llm):
    async def stream():
        return [output async for output in engine.generate(PROMPT, GREEDY, "the-id", "spanish")]

    outputs = asyncio.run(stream())
    [whole] = llm.generate(PROMPT, GREEDY, lora_request="spanish", use_tqdm=False)
    assert outputs[-1].finished and not any(output.finished for output in outputs[:-1])
    assert outputs[-1].outputs[0].text == whole.outputs[0].text
    assert outputs[-1].outputs[0].token_ids == whole.outputs[0].token_ids
    assert outputs[-1].prompt_token_ids == whole.prompt_token_ids
    for before, after in zip(outputs, outputs[1:]):
        assert after.request_id == "the-id"
        assert after.outputs[0].text.startswith(before.outputs[0].text)
        assert len(before.outputs[0].token_ids) < len(after.outputs[0].token_ids)


def test_many_streams_at_once_are_what_they_are_alone(engine, llm):
    adapters = [None, "shout", "yoda", "pirate"]
    prompts = [prompt_of(f"The queen found {i} keys.") for i in range(40)]

    async def stream():
        return await asyncio.gather(*(last(engine.generate(one, GREEDY, lora_request=adapters[i % 4])) for i, one in enumerate(prompts)))

    outputs = asyncio.run(stream())
    alone = llm.generate(prompts, GREEDY, lora_request=adapters * 10, use_tqdm=False)
    assert [one.outputs[0].text for one in outputs] == [one.outputs[0].text for one in alone]


def test_the_loop_is_woken_once_for_the_streams_of_a_step(engine):
    calls = 0

    async def stream():
        nonlocal calls
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*arguments, **options):
            nonlocal calls
            calls += 1
            return wake(*arguments, **options)

        loop.call_soon_threadsafe = counted
        before = engine.engine.native.stats().steps
        params = SamplingParams(max_tokens=32, ignore_eos=True)
        outputs = await asyncio.gather(*(last(engine.generate(PROMPT, params)) for _ in range(32)))
        return outputs, engine.engine.native.stats().steps - before

    outputs, steps = asyncio.run(stream())
    assert sum(len(output.outputs[0].token_ids) for output in outputs) == 32 * 32
    assert calls <= steps + 32  # and what is posted for each request that starts


def test_leaving_a_stream_cancels_it(engine):
    async def leave():
        async with contextlib.aclosing(engine.generate(PROMPT, LONG)) as answers:
            async for output in answers:
                assert not output.finished
                break
        task = asyncio.create_task(last(engine.generate(PROMPT, LONG)))
        while engine.engine.native.stats().running == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    wait_until_idle(engine)


def test_an_aborted_request_ends(engine):
    async def abort():
        outputs = []
        async for output in engine.generate(PROMPT, LONG, "one"):
            outputs.append(output)
            await engine.abort("one")
        return outputs[-1]

    output = asyncio.run(abort())
    assert output.finished and output.outputs[0].finish_reason == "abort"
    wait_until_idle(engine)


def test_two_event_loops(engine):
    texts = {}

    def run(name, adapter):
        async def stream():
            return await asyncio.gather(*(last(engine.generate(PROMPT, GREEDY, lora_request=adapter)) for _ in range(10)))

        texts[name] = {output.outputs[0].text for output in asyncio.run(stream())}

    threads = [threading.Thread(target=run, args=(i, adapter)) for i, adapter in enumerate(["shout", None])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts[0] == {"THE QUEEN FOUND A RUSTY KEY!"} and len(texts[1]) == 1 and texts[0] != texts[1]


def test_requests_of_a_loop_that_was_closed_are_cancelled(engine):
    loop = asyncio.new_event_loop()
    answers = engine.generate(PROMPT, LONG)
    loop.run_until_complete(answers.__anext__())
    loop.close()
    wait_until_idle(engine)
    del answers
    gc.collect()
    assert asyncio.run(last(engine.generate(PROMPT, GREEDY))).finished


def test_errors_are_raised_where_the_answer_is_read(engine):
    with pytest.raises(slora.NotFoundError, match="nobody"):
        asyncio.run(last(engine.generate(PROMPT, GREEDY, lora_request="nobody")))
    with pytest.raises(slora.RequestError, match="max_tokens"):
        asyncio.run(last(engine.generate(PROMPT, SamplingParams(max_tokens=1000))))
    with pytest.raises(ValueError, match="adapter_config"):
        asyncio.run(last(engine.generate(PROMPT, GREEDY, lora_request=LoRARequest("x", 1, MODEL))))


def test_chats_stream_too(engine):
    messages = [{"role": "user", "content": "The queen found a rusty key."}]
    output = asyncio.run(last(engine.chat(messages, GREEDY, lora_request="shout")))
    assert output.outputs[0].text == "THE QUEEN FOUND A RUSTY KEY!"


def test_streams_of_a_closed_engine_end_with_an_error():
    async def close():
        engine = AsyncLLM(MODEL, pool_memory=POOL)
        with pytest.raises(slora.ClosedError):
            async for _ in engine.generate(PROMPT, LONG):
                await asyncio.to_thread(engine.close)
        with pytest.raises(slora.ClosedError):
            await last(engine.generate(PROMPT, GREEDY))

    asyncio.run(close())
