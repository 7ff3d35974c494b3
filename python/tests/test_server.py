import asyncio
import collections
import pathlib
import subprocess
import sys

import pytest
from conftest import ADAPTERS, DEMO, MODEL, PROGRAM, prompt_of

from slora import LoRAConfig, SLoRAServer, server as server_module

SENTENCE = "The queen found a rusty key."


def generated(adapter):
    arguments = ["generate", "--model", MODEL, "--adapters", ADAPTERS, "--pool-memory", "64MiB", "--temperature", "0"]
    arguments += ["--max-tokens", "48", "--prompt", prompt_of(SENTENCE), "--adapter", adapter]
    return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def server():
    with SLoRAServer(MODEL, device="cpu", memory_pool_size=64) as made:
        made.load_adapters([LoRAConfig(f"{ADAPTERS}/shout"), LoRAConfig(f"{ADAPTERS}/yoda", name="yoda")])
        yield made


def test_the_seed_example_prints_what_the_program_generates():
    example = pathlib.Path(DEMO.parent, "examples", "seed_example.py")
    run = subprocess.run([sys.executable, "-X", "dev", example, MODEL, ADAPTERS], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    for line, adapter in zip(lines, ["shout", "pirate", "mood"]):
        assert line.endswith(SENTENCE + generated(adapter).rstrip("\n"))


def test_padding_on_either_side_is_dropped(server):
    numpy = pytest.importorskip("numpy")
    short, long = server.tokenizer(["Hello", prompt_of(SENTENCE)])["input_ids"]
    gap = [0] * (len(long) - len(short))
    expected = server.generate({"input_ids": [short, long]}, [0, None], max_new_tokens=8)
    assert expected[0][: len(short)] == short and len(expected[0]) <= len(short) + 8
    for row, mask in [(gap + short, [0] * len(gap) + [1] * len(short)), (short + gap, [1] * len(short) + [0] * len(gap))]:
        encoding = collections.UserDict(input_ids=numpy.array([row, long]), attention_mask=numpy.array([mask, [1] * len(long)]))
        arrays = server.generate(encoding, [0, None], max_new_tokens=8)
        assert all(isinstance(array, numpy.ndarray) and array.ndim == 1 for array in arrays)
        assert [array.tolist() for array in arrays] == expected


def test_tensors_come_back_when_tensors_came_in(server):
    torch = pytest.importorskip("torch")
    encoded = server.tokenizer(["Hello", prompt_of(SENTENCE)], padding=True, return_tensors="pt")
    tensors = server.generate(encoded, ["yoda", 0], max_length=60)
    assert all(isinstance(tensor, torch.Tensor) and tensor.ndim == 1 for tensor in tensors)
    lists = server.generate(["Hello", prompt_of(SENTENCE)], [1, 0], max_length=60)
    assert [tensor.tolist() for tensor in tensors] == lists


def test_lengths_ends_and_sampling(server):
    [row] = server.tokenizer([SENTENCE])["input_ids"]
    [longest] = server.generate([SENTENCE], max_length=40, eos_token_id=[])
    assert len(longest) == 40
    [ended] = server.generate([SENTENCE], max_length=40, eos_token_id=longest[len(row) + 3])
    assert ended == longest[: longest.index(ended[-1], len(row)) + 1]
    sampled = [server.generate([SENTENCE], max_new_tokens=20, do_sample=True, seed=seed, eos_token_id=[])[0] for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]
    one_by_one = server.generate([SENTENCE] * 5, [0, 1, None, 0, 1], max_length=40, batch_size=1)
    assert one_by_one == server.generate([SENTENCE] * 5, [0, 1, None, 0, 1], max_length=40)


def test_what_is_refused(server):
    with pytest.raises(ValueError, match="use_unified_paging"):
        server.generate(["a"], use_unified_paging=False)
    with pytest.raises(ValueError, match="max_length: expected more than the"):
        server.generate([SENTENCE], max_length=2)
    with pytest.raises(ValueError, match="adapter_ids.*found 7"):
        server.generate(["a"], adapter_ids=[7])
    with pytest.raises(ValueError, match="adapter_ids: expected one for each"):
        server.generate(["a", "b"], adapter_ids=[0])
    with pytest.raises(ValueError, match="memory_pool_size"):
        server.load_adapters([], memory_pool_size=64)
    with pytest.raises(ValueError, match="r: expected 6 .*found 8"):
        server.load_adapters([LoRAConfig(f"{ADAPTERS}/pirate", r=8)])
    with pytest.raises(ValueError, match="target_modules"):
        server.load_adapters([LoRAConfig(f"{ADAPTERS}/pirate", target_modules=["q_proj"])])
    with pytest.raises(RuntimeError, match="cpu"):
        SLoRAServer(MODEL, device="cuda").load_adapters([LoRAConfig(f"{ADAPTERS}/pirate")])
    with pytest.raises(ValueError, match="memory_limit"):
        SLoRAServer(MODEL, memory_limit="1MB").generate(["a"])
    with pytest.raises(TypeError, match="base_model"):
        SLoRAServer(3)


def test_unloaded_adapters_leave_the_others_their_indexes():
    class Model:
        name_or_path = MODEL

    with SLoRAServer(Model(), memory_pool_size="64MiB", memory_limit="1GB") as server:
        names = server.load_adapters([LoRAConfig(f"{ADAPTERS}/shout"), LoRAConfig(f"{ADAPTERS}/yoda")])
        assert names == ["adapter-0", "adapter-1"]
        [before] = server.generate([prompt_of(SENTENCE)], [1], max_length=60)
        server.unload_adapters(["adapter-0"])
        assert server.generate([prompt_of(SENTENCE)], [1], max_length=60) == [before]
        with pytest.raises(ValueError, match="adapter_ids"):
            server.generate(["a"], [0])
        server.unload_adapters()
        assert server.load_adapters([LoRAConfig(f"{ADAPTERS}/yoda")]) == ["adapter-0"]
        assert server.generate([prompt_of(SENTENCE)], [0], max_length=60) == [before]
        metrics = server.metrics()
        assert metrics["requests_served"] == 3 and metrics["average_latency"] > 0 and metrics["throughput"] > 0
        assert metrics["memory_usage"] > 0 and 0 <= metrics["adapter_hit_rate"] <= 1


def test_requests_of_a_coroutine():
    async def ask():
        with SLoRAServer(MODEL, memory_limit="256MB") as server:
            await server.add_adapter("loud", f"{ADAPTERS}/shout")
            requests = [server_module.LoRARequest(str(i), name, prompt_of(SENTENCE), 100) for i, name in enumerate(["loud", None])]
            return await asyncio.gather(*map(server.process_request, requests))

    loud, base = asyncio.run(ask())
    assert loud == "THE QUEEN FOUND A RUSTY KEY!" and base.startswith("Thank you")
