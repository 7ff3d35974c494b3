"""Embeddings of prompts: the hidden states after the last norm, of the last token and the mean of all, as transformers and PEFT have them.

Written next to the logits of models that other scripts made, whose prompts they have.
"""

from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import golden_models as models

# Adapters of every family, among them some that change the last norm, the embedding or nothing but the head.
ADAPTERS = {
    "families": (
        "adalora_full",
        "bdlora",
        "dora",
        "hira",
        "ia3_bias",
        "ln_tuning",
        "lm_head_lora",
        "loha4",
        "mts_embed_head_norm",
        "mts_norm",
        "olora_raw",
        "pissa_converted",
        "shira",
        "tokens_list",
        "vblora",
    ),
    "mix32": ("a00_r1", "a14_r8", "a33_patterns", "a34_lora_bias"),
    "qwen3_norms": (),
}
PROMPTS = ("2", "3")  # of the base


def embeddings(decoder, ids):
    with torch.no_grad():
        hidden = decoder(ids.long()[None]).last_hidden_state[0]
    return hidden[-1].clone(), hidden.double().mean(dim=0).float()


def make(out: Path):
    for name, adapters in ADAPTERS.items():
        folder = out / name
        prompts = load_file(folder / "expected.safetensors")
        found = {}

        def keep(key, decoder, ids):
            found[f"last.{key}"], found[f"mean.{key}"] = embeddings(decoder, ids)

        base = models.load(folder)
        for prompt in PROMPTS:
            keep(prompt, base.model, prompts[f"ids.{prompt}"])
        for adapter in adapters:
            model = PeftModel.from_pretrained(models.load(folder), folder / "adapters" / adapter).eval()
            keep(adapter, model.base_model.model.model, prompts[f"ids.{adapter}"])
        save_file(found, folder / "embeddings.safetensors")
