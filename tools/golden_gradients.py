"""Training as torch and PEFT do it: gradients of LoRA's A and B in every dense family, and how losses fall.

Initial values, samples and their order come from the generator of src/train/counter_draws.h, so that no file has to hold them. Written to
gradients/ next to the models that other scripts made: `gradients.safetensors` (MODEL/MODULE.lora_A and .lora_B, and MODEL/loss) and
`curves.json` (losses and norms of gradients of each step).
"""

import json
import math
from pathlib import Path

import numpy
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

import golden_models as models

FAMILIES = (
    "gemma3_text",
    "granite",
    "llama2_mha",
    "llama3_rope",
    "llama_bias",
    "mistral_sliding",
    "olmo2",
    "olmo3",
    "phi3",
    "phi3_longrope",
    "qwen2_bias",
    "qwen3_norms",
    "smollm3",
)
ORDER = ("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj")
INITIAL_VALUE, SAMPLE_ORDER = 1, 2  # DrawPurpose
TEST_TOKENS, TEST_LABELS, TEST_B = 101, 102, 103  # purposes of the test alone
SEED = 7
STEPS, BATCH, SAMPLES = 30, 3, 8
CURVES = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 5}, "alpha_pattern": {"v_proj": 3}},
    "lora_plus": {"rate": 1e-3, "b_rate_factor": 16.0},
    "cosine_decay": {"schedule": "cosine", "warm_up_share": 0.1, "weight_decay": 0.1, "clip": 0.05},
    "constant_attention": {"schedule": "constant", "warm_up_share": 0.2, "targets": ["q_proj", "v_proj"], "clip": 0.0},
}


def mixed(x):
    with numpy.errstate(over="ignore"):
        x = numpy.uint64(x) + numpy.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return x ^ (x >> numpy.uint64(31))


def draws(seed, purpose, stream, count):
    state = mixed(mixed(mixed(seed) ^ numpy.uint64(purpose)) ^ numpy.uint64(stream))
    return (mixed(state ^ numpy.arange(count, dtype=numpy.uint64)) >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53


def make_samples(vocabulary):
    samples = []
    for i in range(SAMPLES):
        length = 3 + (i * 7) % 19
        tokens = [int(x * vocabulary) for x in draws(SEED, TEST_TOKENS, i, length)]
        labels = [bool(x < 0.6) for x in draws(SEED, TEST_LABELS, i, length)]
        labels[0], labels[1] = False, True
        samples.append((tokens, labels))
    return samples


def trained(model):
    """The modules with LoRA in the order of the trainer's masters."""
    found = [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]
    layer = lambda name: int(name.split(".layers.")[1].split(".")[0])
    return sorted(found, key=lambda entry: (layer(entry[0]), ORDER.index(entry[0].rsplit(".", 1)[1])))


def adapted(folder, rank, alpha, targets=None, b_scale=0.0, **options):
    base = models.load(folder).float()
    names = {name.rsplit(".", 1)[-1] for name, module in base.named_modules() if isinstance(module, torch.nn.Linear)}
    model = get_peft_model(base, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets or sorted(names & set(ORDER)), **options))
    for i, (_, module) in enumerate(trained(model)):
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        with torch.no_grad():
            values = ((2 * draws(SEED, INITIAL_VALUE, i, a.numel()) - 1) / math.sqrt(a.shape[1])).astype(numpy.float32)
            a.copy_(torch.from_numpy(values).view_as(a))
            values = ((2 * draws(SEED, TEST_B, i, b.numel()) - 1) * b_scale).astype(numpy.float32)
            b.copy_(torch.from_numpy(values).view_as(b))
    return model.train()


def loss_of(model, samples):
    """The mean over all labels."""
    total = 0.0
    for tokens, labels in samples:
        logits = model(torch.tensor(tokens)[None]).logits[0].float()
        rows = [i for i in range(len(tokens) - 1) if labels[i + 1]]
        total = total + torch.nn.functional.cross_entropy(logits[rows], torch.tensor([tokens[i + 1] for i in rows]), reduction="sum")
    return total / sum(sum(labels) for _, labels in samples)


def gradients(folder, name, out):
    model = adapted(folder, rank=2, alpha=3, b_scale=0.1)
    loss = loss_of(model, make_samples(models.load(folder).config.get_text_config().vocab_size)[:4])
    loss.backward()
    out[f"{name}/loss"] = loss.detach()[None]
    for path, module in trained(model):
        path = path.removeprefix("base_model.model.")
        out[f"{name}/{path}.lora_A"] = module.lora_A["default"].weight.grad
        out[f"{name}/{path}.lora_B"] = module.lora_B["default"].weight.grad


def order_of(epoch):
    order = list(range(SAMPLES))
    for i, draw in reversed(list(enumerate(draws(SEED, SAMPLE_ORDER, epoch, SAMPLES)))[1:]):
        k = int(draw * (i + 1))
        order[i], order[k] = order[k], order[i]
    return order


def schedule_of(optimiser, kind, warm_up):
    steps = math.ceil(warm_up * STEPS)
    if kind == "constant":
        return get_constant_schedule_with_warmup(optimiser, steps)
    make = get_cosine_schedule_with_warmup if kind == "cosine" else get_linear_schedule_with_warmup
    return make(optimiser, steps, STEPS)


def curve(folder, rate=5e-3, schedule="linear", warm_up_share=0.03, weight_decay=0.0, clip=1.0, b_rate_factor=1.0, **options):
    model = adapted(folder, rank=4, alpha=6, **options)
    samples = make_samples(models.load(folder).config.vocab_size)
    of_a = [p for n, p in model.named_parameters() if "lora_A" in n]
    of_b = [p for n, p in model.named_parameters() if "lora_B" in n]
    groups = [{"params": of_a, "lr": rate}, {"params": of_b, "lr": rate * b_rate_factor}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    scheduler = schedule_of(optimiser, schedule, warm_up_share)
    found = {"losses": [], "norms": []}
    per_epoch = math.ceil(SAMPLES / BATCH)
    for step in range(STEPS):
        begin = step % per_epoch * BATCH
        loss = loss_of(model, [samples[i] for i in order_of(step // per_epoch)[begin : begin + BATCH]])
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(of_a + of_b, clip if clip > 0 else math.inf)
        optimiser.step()
        scheduler.step()
        found["losses"].append(float(f"{loss.item():.9g}"))
        found["norms"].append(float(f"{norm.item():.9g}"))
    return found


def make(out: Path):
    torch.set_num_threads(1)
    folder = out / "gradients"
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name in FAMILIES:
        gradients(out / name, name, tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "gradients.safetensors")
    curves = {name: curve(out / "llama2_mha", **options) for name, options in CURVES.items()}
    curves["qwen3"] = curve(out / "qwen3_norms")
    (folder / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")
