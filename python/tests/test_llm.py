import concurrent.futures
import sys

import pytest
from conftest import ADAPTERS, MODEL, NAMES, POOL, prompt_of
from demo_server import DemoServer

import slora
from slora import LLM, LoRARequest, SamplingParams, StructuredOutputsParams

GREEDY = SamplingParams(temperature=0, max_tokens=48)


def test_200_prompts_over_9_adapters_are_answered_as_the_server_does(llm):
    people, things = ["queen", "king", "baker", "pilot", "poet"], ["key", "hat", "drum", "lamp"]
    prompts = [prompt_of(f"The {people[i % 5]} found a rusty {things[i % 4]} {i} times.") for i in range(200)]
    models = [NAMES[i % 9] if i % 10 else None for i in range(200)]
    fields = [{"temperature": i % 2, "seed": i, "max_tokens": 24 + i % 9} for i in range(200)]
    outputs = llm.generate(prompts, [SamplingParams(**one) for one in fields], lora_request=models, use_tqdm=False)

    with DemoServer() as server, concurrent.futures.ThreadPoolExecutor(16) as threads:

        def ask(i):
            explicit = {"top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1}  # the demo has a default of its own
            body = {"model": models[i] or "model", "prompt": prompts[i], "return_token_ids": True, **explicit, **fields[i]}
            return server.post("/v1/completions", body)["choices"][0]

        for output, choice in zip(outputs, threads.map(ask, range(200))):
            assert output.outputs[0].text == choice["text"]
            assert output.outputs[0].token_ids == choice["token_ids"]
            assert output.outputs[0].finish_reason == choice["finish_reason"]


def test_outputs_have_vllms_members(llm):
    params = SamplingParams(n=2, temperature=1, seed=1, max_tokens=8, logprobs=2, prompt_logprobs=1, ignore_eos=True)
    [output] = llm.generate(prompt_of("The queen found a key."), params, lora_request=LoRARequest("shout", 1), use_tqdm=False)
    assert output.finished and output.prompt == prompt_of("The queen found a key.")
    assert output.lora_request.lora_name == "shout" and output.num_cached_tokens is not None
    assert [one.index for one in output.outputs] == [0, 1]
    first = output.outputs[0]
    assert first.finish_reason == "length" and len(first.token_ids) == len(first.logprobs) == 8
    for token, logprobs in zip(first.token_ids, first.logprobs):
        assert next(iter(logprobs)) == token and len(logprobs) in (2, 3)
        assert all(one.logprob <= 0 and one.decoded_token for one in logprobs.values())
    assert first.cumulative_logprob == pytest.approx(sum(one[token].logprob for token, one in zip(first.token_ids, first.logprobs)))
    assert output.prompt_logprobs[0] is None and len(output.prompt_logprobs) == len(output.prompt_token_ids)
    assert output.metrics.arrival_time <= output.metrics.first_token_time <= output.metrics.finished_time


def test_chats_use_the_template(llm):
    messages = [{"role": "user", "content": "The queen found a rusty key."}]
    [chat] = llm.chat(messages, GREEDY, lora_request="shout", use_tqdm=False)
    assert chat.outputs[0].text == "THE QUEEN FOUND A RUSTY KEY!"
    assert chat.prompt.endswith(prompt_of("The queen found a rusty key."))
    [same] = llm.generate({"prompt_token_ids": chat.prompt_token_ids}, GREEDY, lora_request="shout", use_tqdm=False)
    assert same.outputs[0].token_ids == chat.outputs[0].token_ids
    both = llm.chat([messages, messages], GREEDY, lora_request=[None, "shout"], use_tqdm=False)
    assert both[0].outputs[0].text.startswith("Thank you") and both[1].outputs[0].text == chat.outputs[0].text


def test_prompts_may_be_texts_tokens_or_arrays(llm):
    numpy = pytest.importorskip("numpy")
    text = prompt_of("The queen found a key.")
    ids = llm.get_tokenizer().encode(text)
    forms = [text, {"prompt": text}, {"prompt_token_ids": ids}, {"prompt_token_ids": numpy.array(ids, dtype=numpy.int64)}, ids]
    outputs = llm.generate(forms, GREEDY, use_tqdm=False)
    outputs += llm.generate(ids, GREEDY, use_tqdm=False)
    outputs += llm.generate(numpy.array([ids, ids]), GREEDY, use_tqdm=False)
    assert len(outputs) == 8 and len({tuple(output.outputs[0].token_ids) for output in outputs}) == 1
    array = outputs[0].outputs[0].token_array()
    assert array.dtype == numpy.int32 and array.tolist() == outputs[0].outputs[0].token_ids
    assert outputs[0].prompt_token_array().tolist() == ids


def test_without_a_limit_an_answer_ends_with_the_context(llm):
    params = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True)
    [output] = llm.generate("Hello", params, use_tqdm=False)
    assert len(output.prompt_token_ids) + len(output.outputs[0].token_ids) == 512


def test_without_parameters_the_models_own_apply(llm):
    outputs = llm.generate([prompt_of("The queen found a key.")] * 2, use_tqdm=False)
    assert outputs[0].outputs[0].text == outputs[1].outputs[0].text  # its generation_config has top_k 1


def test_a_lora_request_registers_its_folder():
    with LLM(MODEL, pool_memory=POOL, enable_lora=True, max_loras=4, max_lora_rank=64) as llm:
        request = LoRARequest("loud", 1, f"{ADAPTERS}/shout")
        prompts = [prompt_of("The queen found a rusty key.")] * 2
        first, base = llm.generate(prompts, GREEDY, lora_request=[request, None], use_tqdm=False)
        assert first.outputs[0].text == "THE QUEEN FOUND A RUSTY KEY!" != base.outputs[0].text
        assert list(llm.list_adapters()) == ["loud"]
        with pytest.raises(ValueError, match="loud.*shout.*yoda"):
            llm.generate(prompts, GREEDY, lora_request=LoRARequest("loud", 2, f"{ADAPTERS}/yoda"), use_tqdm=False)
        llm.remove_adapter("loud")
        with pytest.raises(slora.NotFoundError, match="loud"):
            llm.generate(prompts, GREEDY, lora_request="loud", use_tqdm=False)
        with pytest.raises(ValueError, match="adapter_config.json"):
            llm.add_adapter("none", MODEL)


def test_what_is_refused_is_refused_by_name(llm):
    with pytest.raises(ValueError, match="temperature.*found -1"):
        SamplingParams(temperature=-1)
    with pytest.raises(TypeError, match="temprature"):
        SamplingParams(temprature=1)
    with pytest.raises(ValueError, match="allowed_token_ids"):
        SamplingParams(allowed_token_ids=[1])
    with pytest.raises(ValueError, match="detokenize"):
        SamplingParams(detokenize=False)
    with pytest.raises(TypeError, match="tensor_parallel_size"):
        LLM(MODEL, tensor_parallel_size=2)
    with pytest.raises(slora.LoadError, match="hf download some/model"):
        LLM("some/model")
    with pytest.raises(slora.LoadError, match='^device.*device="cpu"'):
        LLM(MODEL, device="cuda")
    with pytest.raises(slora.LoadError, match="weights: expected bf16"):
        LLM(MODEL, weights="int3")
    with pytest.raises(ValueError, match="pool_memory.*many"):
        LLM(MODEL, pool_memory="many")
    with pytest.raises(slora.RequestError, match="at most") as caught:
        llm.generate("Hello", SamplingParams(max_tokens=600), use_tqdm=False)
    assert caught.value.param == "max_tokens"
    with pytest.raises(ValueError, match="lora_request: expected one.*2 prompts, found 1"):
        llm.generate(["a", "b"], lora_request=["shout"], use_tqdm=False)
    with pytest.raises(TypeError, match="prompt: expected"):
        llm.generate([3.5], use_tqdm=False)
    with pytest.raises(slora.NotFoundError):
        llm.generate(["Hello"] * 50, lora_request=["shout"] * 49 + ["nobody"], use_tqdm=False)
    assert llm.generate("Hello", use_tqdm=False)[0].finished


def test_the_form_of_an_answer_is_kept_or_refused_by_name(llm):
    try:
        params = SamplingParams(structured_outputs=StructuredOutputsParams(choice=["yes", "no"]), max_tokens=16)
    except slora.RequestError as error:
        assert error.param == "structured_outputs"
    else:
        [output] = llm.generate("Hello", params, use_tqdm=False)
        assert output.outputs[0].text in ("yes", "no")


def test_neither_torch_nor_transformers_is_imported(llm):
    llm.generate("Hello", use_tqdm=False)
    assert "torch" not in sys.modules and "transformers" not in sys.modules
