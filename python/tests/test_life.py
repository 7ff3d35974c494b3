import gc
import os
import signal
import subprocess
import sys
import threading
import weakref

import pytest
from conftest import ADAPTERS, MODEL, POOL, prompt_of

import slora
from slora import LLM, SamplingParams

PROMPT = prompt_of("The queen found a rusty key.")
LONG = SamplingParams(temperature=1, seed=1, max_tokens=400, ignore_eos=True)


def run(program, *arguments, **options):
    """In Python's development mode, in which a warning is an error of the test."""
    command = [sys.executable, "-X", "dev", "-c", program, MODEL, ADAPTERS, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_an_engine_that_runs_is_collected():
    llm = LLM(MODEL, pool_memory=POOL)
    engine = weakref.ref(llm.engine)
    queue = slora._slora.AnswerQueue()
    for _ in range(20):
        llm.engine.submit(llm.engine.completion(PROMPT, LONG, None, 0), queue, False)
    del llm
    gc.collect()
    assert engine() is None
    updates = queue.take()
    assert len(updates) == 20
    for update in updates:
        with pytest.raises(slora.ClosedError):
            update.raise_error()


def test_a_closed_engine_refuses():
    with LLM(MODEL, pool_memory=POOL) as llm:
        pass
    llm.close()
    for call in (lambda: llm.generate("a"), llm.metrics, llm.list_adapters, lambda: llm.get_tokenizer().encode("a")):
        with pytest.raises(slora.ClosedError):
            call()


def test_closing_ends_the_calls_of_other_threads():
    llm = LLM(MODEL, pool_memory=POOL)
    errors = []

    def generate():
        try:
            llm.generate([PROMPT] * 200, LONG, use_tqdm=False)
        except slora.SloraError as error:
            errors.append(error)

    threads = [threading.Thread(target=generate) for _ in range(3)]
    for thread in threads:
        thread.start()
    while llm.engine.native.stats().running == 0:
        pass
    llm.close()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [slora.ClosedError] * 3


def test_control_c_ends_a_call_and_leaves_the_engine_usable():
    program = """
import sys, threading, slora
llm = slora.LLM(sys.argv[1], pool_memory="64MiB")
params = slora.SamplingParams(max_tokens=400, ignore_eos=True)
def report():
    while llm.engine.native.stats().running == 0:
        pass
    print("running", flush=True)
threading.Thread(target=report, daemon=True).start()
try:
    llm.generate(["a"] * 3000, params, use_tqdm=False)
except KeyboardInterrupt:
    print("interrupted")
print(len(llm.generate("a", slora.SamplingParams(max_tokens=3, ignore_eos=True), use_tqdm=False)[0].outputs[0].token_ids))
"""
    child = run(program)
    assert child.stdout.readline() == "running\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate()
    assert (out, err, child.returncode) == ("interrupted\n3\n", "", 0)


def test_the_interpreter_ends_while_streams_run():
    program = """
import asyncio, sys, threading, slora
engine = slora.AsyncLLM(sys.argv[1], adapters=sys.argv[2], pool_memory="64MiB")
begun = threading.Event()
async def stream():
    async for output in engine.generate("a", slora.SamplingParams(max_tokens=500, ignore_eos=True), lora_request="shout"):
        begun.set()
def run():
    try:
        asyncio.run(stream())
    except slora.ClosedError:
        print("closed")
threading.Thread(target=run, daemon=True).start()
begun.wait()
print("end")
"""
    out, err = (child := run(program)).communicate()
    assert child.returncode == 0 and err == "" and out.startswith("end\n")


def test_a_forked_child_is_refused_and_the_parent_goes_on():
    program = """
import os, sys, slora
llm = slora.LLM(sys.argv[1], pool_memory="64MiB")
child = os.fork()
if child == 0:
    try:
        llm.generate("a", use_tqdm=False)
    except slora.ForkedError as error:
        print(type(error).__name__, "spawn" in str(error), flush=True)
    llm.close()
    del llm
    with slora.LLM(sys.argv[1], pool_memory="64MiB") as own:
        print(own.generate("a", use_tqdm=False)[0].finished, flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(llm.generate("a", use_tqdm=False)[0].finished)
"""
    out, err = (child := run(program)).communicate()
    # Newer versions of Python warn of a fork with threads, which is what is tested here.
    err = "".join(line for line in err.splitlines(True) if "fork" not in line)
    assert (out, err, child.returncode) == ("ForkedError True\nTrue\nTrue\n", "", 0)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_engines_give_back_what_they_take():
    def use():
        with LLM(MODEL, adapters=ADAPTERS, pool_memory="16MiB", threads=1) as llm:
            llm.generate([PROMPT] * 4, SamplingParams(max_tokens=4, seed=1), lora_request=[None, "shout", "yoda", "mood"], use_tqdm=False)
        gc.collect()

    for _ in range(10):
        use()
    threads, before = threading.active_count(), resident_bytes()
    for _ in range(40):
        use()
    assert threading.active_count() == threads
    # One engine has 9 MB of weights and a pool of 16 MiB: 40 that were not given back would be 1 GB.
    assert resident_bytes() - before < 25 << 20
