"""What bitsandbytes' NF4 keeps of weights, and what PEFT computes on a base with such weights.

Needs bitsandbytes, besides what the other golden data needs.
"""

from pathlib import Path

import bitsandbytes.functional as bnb
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import golden_families as families
import golden_models as models

BLOCK = 64
# Of a LoRA-like family, of two that compute with the base's weights, and of one that has the head too.
ADAPTERS = ("adalora_full", "dora", "dora_lm_head", "hira")


def rounded(weight):
    """As one row: where rows are not whole blocks, 0.50's CPU kernel takes other blocks than it (and CUDA) quantised."""
    quantised, state = bnb.quantize_4bit(weight.reshape(-1), blocksize=BLOCK, quant_type="nf4")
    out = bnb.dequantize_4bit(quantised, state).reshape(weight.shape)
    largest = weight.float().abs().max()
    assert (out.float() - weight.float()).abs().max() < 0.16 * largest  # half of the widest step
    return out


def weights():
    generator = torch.Generator().manual_seed(4)

    def normal(*shape):
        return 0.05 * torch.randn(shape, generator=generator)

    outliers = normal(32, 128)
    outliers[::3, ::17] *= 40
    zeros = normal(4, 64)
    zeros[1] = 0
    zeros[2, :63] = 0
    # Each number in the middle of two that NF4 can tell apart, and its neighbours, in blocks whose largest magnitude is 1.
    code = bnb.get_4bit_type("nf4", device="cpu")
    middle = (code[1:] + code[:-1]) / 2
    ties = torch.cat([middle, torch.nextafter(middle, torch.tensor(2.0)), torch.nextafter(middle, torch.tensor(-2.0)), code, torch.ones(3)])
    ties = torch.stack([ties, -ties, ties * 0.5, ties * 3])
    return {
        "f32": normal(64, 64),
        "outliers": outliers,
        "zeros": zeros,
        "ties": ties,
        "bf16": normal(48, 160).to(torch.bfloat16),  # blocks that begin within rows
        "f16": normal(24, 96).to(torch.float16),
        "short_block": normal(6, 34).to(torch.bfloat16),  # whose end is less than a block
    }


def make(out: Path):
    folder = out / "nf4"
    folder.mkdir(exist_ok=True)
    tensors = weights()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    expected = {name: rounded(tensor) for name, tensor in tensors.items()}
    base = out / families.BASE.name
    ids = load_file(base / "expected.safetensors")

    def load():
        model = models.load(base)
        for name, tensor in load_file(base / "model.safetensors").items():
            if name.endswith("proj.weight"):
                model.get_parameter(name).data.copy_(rounded(tensor).float())
        return model

    def plain(adapter):
        return models.logits(PeftModel.from_pretrained(models.load(base), base / "adapters" / adapter).eval(), ids[f"ids.{adapter}"].tolist())

    for adapter in ADAPTERS:
        model = PeftModel.from_pretrained(load(), base / "adapters" / adapter).eval()
        logits = models.logits(model, ids[f"ids.{adapter}"].tolist())
        assert (logits - plain(adapter)).abs().max() > 0.1, adapter
        expected[f"logits.{adapter}"] = logits[-families.TAIL :].float().contiguous()
    save_file(expected, folder / "expected.safetensors", metadata={"format": "pt"})
    print(f"nf4: {len(tensors)} weights, {len(ADAPTERS)} adapters, {models.folder_bytes(folder):,} bytes")
