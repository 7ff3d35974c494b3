import pathlib

import pytest

import slora

DEMO = pathlib.Path(__file__).parents[2] / "demo"
MODEL = str(DEMO / "model")
ADAPTERS = str(DEMO / "adapters")
NAMES = ["emoji", "json", "mood", "pirate", "question", "reverse", "shout", "spanish", "yoda"]
PROGRAM = str(pathlib.Path(slora.__file__).parent / "bin" / "slora")
POOL = "64MiB"


def prompt_of(sentence: str) -> str:
    return f"<|user|>{sentence}<|end|><|assistant|>"


@pytest.fixture(scope="session")
def llm():
    with slora.LLM(MODEL, adapters=ADAPTERS, pool_memory=POOL) as made:
        yield made
