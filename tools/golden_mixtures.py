"""Golden models with a mixture of experts, and adapters of every linear module: router, experts and shared expert too.

transformers 5 keeps the experts of a layer in one tensor and saves them one by one, as all checkpoints have them. For it,
peft writes adapters of all experts of a layer in stacks ("stacked_..."). Adapters of single experts are written here, as
peft with transformers 4 saved them. Their logits are those of the base with W + scale * B A in place of W, in fp32; where
peft reads such a file for the base of transformers 5, it must agree.

What a row of the router would almost as soon choose, a backend that rounds may choose. So tokens are made to belong to
experts: along a direction for each expert of a layer, an embedding is positive for as many as are chosen and negative for
the others, and the router reads these directions. Every choice of every stored prompt is asserted to be far from another.
"""

import contextlib
import re
import shutil

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, Qwen2MoeConfig, Qwen3MoeConfig

import golden_adapters
import golden_models
from golden_adapters import Adapter
from golden_specs import Model, sizes
from golden_specs_further import NO_SPECIAL_TOKENS, with_key

CHOICE_MARGIN = 0.15  # of the chosen scores' distance to the others, in standard deviations of a row's scores
PEFT_MARGIN = 2e-5
EXPERT = re.compile(r"(.*\.(?:mlp|block_sparse_moe))\.experts\.(\d+)\.(\w+)$")
STRENGTH = 3.0  # of an embedding along an expert's direction; elsewhere its numbers have a deviation of 1


def routers(model):
    return [module for _, module in sorted(model.named_modules()) if type(module).__name__.endswith("TopKRouter")]


def separate_choices(model, seed):
    generator = torch.Generator().manual_seed(5000 + seed)
    first = routers(model)[0]
    count, chosen = first.num_experts, first.top_k
    embedding = model.get_input_embeddings().weight
    directions = torch.linalg.qr(torch.randn(embedding.shape[1], count, generator=generator)).Q  # [hidden, experts]
    order = torch.stack([torch.randperm(count, generator=generator) for _ in range(embedding.shape[0])])
    signs = torch.where(order < chosen, 1.0, -1.0)
    along = STRENGTH * signs * (1 + 0.2 * torch.randn(signs.shape, generator=generator))
    with torch.no_grad():
        embedding.copy_(embedding - embedding @ directions @ directions.T + along @ directions.T)
        for router in routers(model):
            experts = torch.randperm(count, generator=generator)
            noise = torch.randn(router.weight.shape, generator=generator) / router.weight.shape[1] ** 0.5
            router.weight.copy_(directions.T[experts] + 0.2 * noise)


@contextlib.contextmanager
def every_choice(model):
    """Collects how far each row's choice is from another, and which experts were chosen."""
    margins, chosen, hooks = [], [], []

    def look(router, _inputs, out):
        scores = out[0]
        best = scores.sort(dim=-1, descending=True).values
        margins.append(((best[:, router.top_k - 1] - best[:, router.top_k]) / scores.std(dim=-1)).min().item())
        chosen.append((router, set(out[2].flatten().tolist())))

    for router in routers(model):
        hooks.append(router.register_forward_hook(look))
    yield margins, chosen
    for hook in hooks:
        hook.remove()


def outputs(model, ids, suffix):
    with every_choice(model) as (margins, _chosen):
        tensors = golden_models.outputs(model, ids, suffix)
    assert min(margins) > CHOICE_MARGIN, (suffix, min(margins))
    return tensors


def linear_modules(folder):
    """Every linear module of the files but the head, and its shape."""
    shapes = {name.removesuffix(".weight"): tensor.shape for name, tensor in load_file(folder / "model.safetensors").items()}
    return {name: shape for name, shape in shapes.items() if len(shape) == 2 and name.startswith("model.layers.")}


def weight_of(model, path):
    """The weight of a module of the files, which may be a part of a tensor of the model."""
    parameters = dict(model.named_parameters())
    expert = EXPERT.match(path)
    if expert is None:
        name = path.replace("block_sparse_moe", "mlp") + ".weight"
        return parameters[name]
    experts, index, kind = expert[1].replace("block_sparse_moe", "mlp") + ".experts", int(expert[2]), expert[3]
    if kind in ("down_proj", "w2"):
        return parameters[experts + ".down_proj"][index]
    gate, up = parameters[experts + ".gate_up_proj"][index].chunk(2, dim=0)
    return gate if kind in ("gate_proj", "w1") else up


class Lora:
    def __init__(self, name, rank, alpha, pattern, dtype=torch.float32, router_size=0.05, peft=False, **config):
        self.name, self.rank, self.alpha, self.pattern = name, rank, alpha, re.compile(pattern)
        self.dtype, self.router_size, self.peft, self.config = dtype, router_size, peft, config

    def scale(self):
        return self.alpha / (self.rank**0.5 if self.config.get("use_rslora") else self.rank)


def adapter_tensors(spec, folder, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for path, (out, inputs) in sorted(linear_modules(folder).items()):
        if not spec.pattern.search(path):
            continue
        router = path.endswith((".gate", ".shared_expert_gate"))  # whose choices are to stay far from others
        size = (spec.router_size if router else 0.2) * min(spec.rank, 4) ** 0.5 / (spec.scale() * spec.rank**0.5)
        a = torch.randn(spec.rank, inputs, generator=generator) * inputs**-0.5
        b = torch.randn(out, spec.rank, generator=generator) * size
        tensors[f"base_model.model.{path}.lora_A.weight"] = a.to(spec.dtype)
        tensors[f"base_model.model.{path}.lora_B.weight"] = b.to(spec.dtype)
    return tensors


def changed(model, tensors, scale):
    with torch.no_grad():
        for name, a in tensors.items():
            if ".lora_A." not in name:
                continue
            path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            weight = weight_of(model, path)
            weight += scale * tensors[name.replace(".lora_A.", ".lora_B.")].float() @ a.float()
    return model


def write_adapter(path, spec, model_name, tensors):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
    targets = sorted({name.split(".lora_")[0].rsplit(".", 1)[1] for name in tensors})
    config = {
        "base_model_name_or_path": f"golden/{model_name}",
        "bias": "none",
        "lora_alpha": spec.alpha,
        "peft_type": "LORA",
        "r": spec.rank,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
    }
    golden_models.write_config(path / "adapter_config.json", config | spec.config)


def check_adapter(spec, folder, path, model, tensors, ids):
    base, found = golden_models.load(folder), golden_models.logits(model, ids)
    moved = (found - golden_models.logits(base, ids)).abs().max().item()
    assert moved > golden_adapters.ADAPTER_MARGIN, (spec.name, moved)
    for name in tensors:  # each of them matters
        without = {other: torch.zeros_like(tensor) if other == name else tensor for other, tensor in tensors.items()}
        change = (golden_models.logits(changed(golden_models.load(folder), without, spec.scale()), ids) - found).abs().max().item()
        assert change > golden_adapters.TENSOR_MARGIN / 5, (spec.name, name, change)
    if spec.peft:
        by_peft = PeftModel.from_pretrained(golden_models.load(folder), path).eval()
        difference = (golden_models.logits(by_peft, ids) - found).abs().max().item()
        assert difference < PEFT_MARGIN, (spec.name, "peft", difference)
    golden_models.check_bf16(spec.name, changed(golden_models.load(folder), tensors, spec.scale()), ids, found)


def add_by_peft(spec, folder, adapter, seed, batch, tensors):
    """An adapter as peft writes it for transformers 5, of experts in stacks."""
    path = folder / "adapters" / adapter.name
    model = golden_adapters.make_adapter(path, adapter, spec.name, seed, lambda: golden_models.load(folder))
    for prompt in golden_adapters.ADAPTER_PROMPTS:
        tensors |= outputs(model, batch[prompt], f"{adapter.name}.{prompt}")
    longest = batch[golden_adapters.ADAPTER_PROMPTS[-1]]
    base_logits = golden_models.logits(golden_models.load(folder), longest)
    golden_adapters.check(adapter, model, base_logits, lambda changed: golden_models.logits(changed, longest))
    golden_models.check_bf16(adapter.name, model, longest, tensors[f"logits.{adapter.name}.{golden_adapters.ADAPTER_PROMPTS[-1]}"])


def add_adapters(spec, folder, batch, tensors):
    for index, lora in enumerate(spec.adapters):
        if isinstance(lora, Adapter):
            add_by_peft(spec, folder, lora, 100 * spec.seed + index, batch, tensors)
            continue
        path = folder / "adapters" / lora.name
        of_adapter = adapter_tensors(lora, folder, 100 * spec.seed + index)
        write_adapter(path, lora, spec.name, of_adapter)
        model = changed(golden_models.load(folder), of_adapter, lora.scale())
        for prompt in golden_adapters.ADAPTER_PROMPTS:
            tensors |= outputs(model, batch[prompt], f"{lora.name}.{prompt}")
        check_adapter(lora, folder, path, model, of_adapter, batch[golden_adapters.ADAPTER_PROMPTS[-1]])


def qwen3_moe(**keys):
    return Qwen3MoeConfig(**({"max_position_embeddings": 256, "head_dim": 12} | NO_SPECIAL_TOKENS | keys))


MIXTURES = (
    Model(
        "mixtral",
        41,
        MixtralConfig(
            **sizes(97, 40, 28, 5, 1),
            **NO_SPECIAL_TOKENS,
            num_hidden_layers=2,
            num_local_experts=5,
            num_experts_per_tok=2,
            max_position_embeddings=256,
            sliding_window=16,
        ),
        form=4,
        prepare=separate_choices,
        features=(with_key("num_experts_per_tok", 1), with_key("sliding_window", None)),
        adapters=(
            Lora("all_linear_r4", 4, 8, "", peft=True),
            Lora("q_v_r8", 8, 16, r"\.(q|v)_proj$", torch.bfloat16, peft=True),
            Lora("two_experts_r3", 3, 6, r"layers\.1\..*experts\.(0|3)\.w(1|2)$"),
            Adapter("stacked_r4", golden_adapters.lora(4, 8, ("q_proj", "w1", "w2", "w3"))),
        ),
    ),
    Model(
        "qwen2_moe",
        42,
        Qwen2MoeConfig(
            **sizes(101, 48, 40, 4, 2),
            **NO_SPECIAL_TOKENS,
            num_hidden_layers=3,
            num_experts=6,
            num_experts_per_tok=3,
            moe_intermediate_size=20,
            shared_expert_intermediate_size=44,
            mlp_only_layers=[1],
            max_position_embeddings=256,
        ),
        prepare=separate_choices,
        features=(with_key("num_experts_per_tok", 2), with_key("norm_topk_prob", True)),
        adapters=(
            Lora("all_linear_r5", 5, 10, ""),
            Lora("shared_r4", 4, 6, r"shared_expert", torch.bfloat16),
            Adapter("stacked_gate_up_r5", golden_adapters.lora(5, 20, ("v_proj",), target_parameters=["mlp.experts.gate_up_proj"])),
            Lora("router_r2", 2, 4, r"mlp\.gate$", router_size=0.15),
        ),
    ),
    Model(
        "qwen3_moe",
        44,
        qwen3_moe(
            **sizes(97, 56, 48, 4, 2),
            num_hidden_layers=4,
            num_experts=8,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
            decoder_sparse_step=2,
            norm_topk_prob=True,
        ),
        form=4,
        left_out=("num_local_experts",),
        old_keys={"num_experts": 8},
        prepare=separate_choices,
        features=(with_key("num_experts_per_tok", 3), with_key("norm_topk_prob", False)),
        adapters=(
            Lora("all_linear_rslora_r4", 4, 4, "", torch.bfloat16, use_rslora=True),
            Lora("experts_r6", 6, 12, r"experts\."),
            Adapter(
                "stacked_patterns",
                golden_adapters.lora(
                    4,
                    8,
                    ("q_proj",),
                    target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
                    rank_pattern={"gate_up_proj": 3},
                    alpha_pattern={"layers.1.mlp.experts.down_proj": 30},
                    use_rslora=True,
                ),
                torch.bfloat16,
            ),
        ),
    ),
)


def make(out):
    for spec in MIXTURES:
        folder = out / spec.name
        batch, tensors = golden_models.make_base(spec, folder)
        for index, ids in enumerate(batch):
            tensors |= outputs(golden_models.load(folder), ids, str(index))
        add_adapters(spec, folder, batch, tensors)
        golden_models.write_expected(folder, tensors)
        print(f"{spec.name}: {golden_models.folder_bytes(folder):,} bytes with {len(spec.adapters)} adapters")
