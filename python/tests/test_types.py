import os
import pathlib
import subprocess
import sys

import pytest

import slora

PROGRAM = """
import asyncio
from slora import LLM, AsyncLLM, CompletionOutput, LoRAConfig, LoRARequest, RequestOutput, SamplingParams, SLoRAServer
import slora._slora

def offline(llm: LLM) -> list[str]:
    outputs: list[RequestOutput] = llm.generate(["a"], SamplingParams(max_tokens=4), lora_request=LoRARequest("a", 1, "b"))
    first: CompletionOutput = outputs[0].outputs[0]
    tokens: list[int] = first.token_ids
    return [first.text] if tokens else []

async def online(engine: AsyncLLM) -> None:
    async for output in engine.generate("a", None, "id", "adapter"):
        print(output.outputs[0].text)

def seed(server: SLoRAServer) -> list[str]:
    return server.load_adapters([LoRAConfig("a", r=8)], memory_pool_size=64)

def native(queue: slora._slora.AnswerQueue) -> int:
    return sum(len(choice.tokens) for update in queue.wait(1.0) for choice in update.choices)
"""


FOLDER = pathlib.Path(slora.__file__).parent


def mypy(*arguments):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *arguments]
    return subprocess.run(command, env={**os.environ, "MYPYPATH": str(FOLDER.parent)}, capture_output=True, text=True).stdout


def test_programs_and_the_package_are_strictly_typed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert (FOLDER / "py.typed").exists() and (FOLDER / "_slora.pyi").exists()
    found = mypy(program) + mypy("-p", "slora")
    assert found.count("Success") == 2, found


def test_a_wrong_type_is_found(tmp_path):
    program = tmp_path / "program.py"
    program.write_text('from slora import LLM\nLLM("a").generate("a", sampling_params=3)\n')
    assert "arg-type" in mypy(program)
