"""Drives a server with the published Python clients of TGI, LoRAX and the Hugging Face Hub, one check a line.

    pip install lorax-client text-generation
    python tools/tgi_clients_test.py --url http://127.0.0.1:8000 --adapter shout
"""

import argparse
import sys

import lorax
import text_generation
from huggingface_hub import InferenceClient
from lorax.errors import BadRequestError, NotFoundError
from lorax.types import MergedAdapters

PROMPT = "Clara found"
results = []


def check(name, is_right, shown=""):
    results.append(is_right)
    print(f"{'ok' if is_right else 'FAILED'}: {name}{'' if is_right else f': {shown}'}")


def raises(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    return ""


def check_lorax(url, adapter):
    client = lorax.Client(url)
    base = client.generate(PROMPT, max_new_tokens=8)
    tuned = client.generate(PROMPT, adapter_id=adapter, max_new_tokens=8)
    check("lorax: the adapter differs from the base", tuned.generated_text != base.generated_text, tuned.generated_text)
    check("lorax: details", tuned.details.generated_tokens == len(tuned.details.tokens) and tuned.details.prompt_tokens > 0)
    parts = list(client.generate_stream(PROMPT, adapter_id=adapter, adapter_source="local", max_new_tokens=8))
    text = "".join(part.token.text for part in parts if not part.token.special)
    check("lorax: a stream adds up", text == tuned.generated_text == parts[-1].generated_text, text)
    check("lorax: a stream ends with details", parts[-1].details.generated_tokens == len(parts))
    full = client.generate(PROMPT, adapter_id=adapter, max_new_tokens=8, return_full_text=True)
    check("lorax: return_full_text", full.generated_text == PROMPT + tuned.generated_text, full.generated_text)
    scored = client.generate(PROMPT, adapter_id=adapter, max_new_tokens=2, decoder_input_details=True, return_k_alternatives=2)
    check("lorax: the prompt's tokens", len(scored.details.prefill) == scored.details.prompt_tokens)
    check("lorax: alternatives", len(scored.details.tokens[0].alternative_tokens) == 2)
    drawn = [client.generate(PROMPT, max_new_tokens=8, do_sample=True, temperature=2.0, seed=7).generated_text for _ in range(2)]
    check("lorax: a seed repeats", drawn[0] == drawn[1], drawn)
    check("lorax: an unknown adapter", "nobody" in raises(NotFoundError, lambda: client.generate(PROMPT, adapter_id="nobody")))
    merged = MergedAdapters(ids=[adapter, "yoda"], weights=[0.5, 0.5], density=0.5)
    check("lorax: a merge is refused", "merged_adapters" in raises(BadRequestError, lambda: client.generate(PROMPT, merged_adapters=merged)))


def check_text_generation(url):
    client = text_generation.Client(url)
    whole = client.generate(PROMPT, max_new_tokens=8, top_n_tokens=2)
    check("text_generation: an answer", whole.details.finish_reason is not None and len(whole.details.top_tokens[0]) == 2)
    parts = list(client.generate_stream(PROMPT, max_new_tokens=8))
    text = "".join(part.token.text for part in parts if not part.token.special)
    check("text_generation: a stream adds up", text == whole.generated_text == parts[-1].generated_text, text)
    first_word = whole.generated_text.split()[0]
    stopped = client.generate(PROMPT, max_new_tokens=8, stop_sequences=[first_word])
    check("text_generation: a stop string stays", stopped.generated_text.endswith(first_word), stopped.generated_text)
    check("text_generation: why it ended", stopped.details.finish_reason == "stop_sequence", stopped.details.finish_reason)


def check_hub(url, adapter):
    expected = lorax.Client(url).generate(PROMPT, adapter_id=adapter, max_new_tokens=8).generated_text
    for path in ["", "/generate"]:
        client = InferenceClient(url + path)
        whole = client.text_generation(PROMPT, max_new_tokens=8, adapter_id=adapter)
        check(f"huggingface_hub: an answer of {path or '/'}", whole == expected, whole)
        parts = client.text_generation(PROMPT, max_new_tokens=8, adapter_id=adapter, stream=True, details=True)
        streamed = "".join(part.token.text for part in parts if not part.token.special)
        check(f"huggingface_hub: a stream of {path or '/'}", streamed == whole, streamed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--adapter", default="shout")
    arguments = parser.parse_args()
    check_lorax(arguments.url, arguments.adapter)
    check_text_generation(arguments.url)
    check_hub(arguments.url, arguments.adapter)
    print(f"{sum(results)} of {len(results)} checks passed")
    sys.exit(0 if all(results) else 1)
