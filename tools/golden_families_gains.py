"""Families that multiply inputs, outputs or weights of a module: IA3, VeRA, HiRA and FLoRA.

FLoRA is not in PEFT: its oracle here wraps the base's linear modules by the formula of docs/adapters.md.
"""

import copy

import torch
from peft import HiraConfig, IA3Config, VeraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from golden_adapters import EVERY_LINEAR, write_config
from golden_families import BASE, Family

ATTENTION_INPUTS = EVERY_LINEAR[:3]


def ia3(targets, feedforward, **keys):
    return IA3Config(task_type="CAUSAL_LM", target_modules=list(targets), feedforward_modules=list(feedforward), **keys)


def vera(rank, targets, **keys):
    return VeraConfig(task_type="CAUSAL_LM", r=rank, target_modules=list(targets), **keys)


def hira(rank, targets, **keys):
    return HiraConfig(task_type="CAUSAL_LM", r=rank, target_modules=list(targets), **keys)


class FloraLinear(torch.nn.Module):
    """y = scale (W o (B A)) x + b, where o multiplies element by element."""

    def __init__(self, base_layer, rank, scale):
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)
        self.scale = scale
        self.flora_A = torch.nn.Parameter(torch.ones(rank, base_layer.in_features))
        self.flora_B = torch.nn.Parameter(torch.ones(base_layer.out_features, rank))

    def forward(self, x):
        return torch.nn.functional.linear(x, self.scale * (self.flora_B @ self.flora_A) * self.base_layer.weight, self.base_layer.bias)


class Flora:
    """Takes the place of PEFT for an adapter: wraps a base, saves what was wrapped and loads it again."""

    def __init__(self, rank, targets, scale=None, rank_pattern=None):
        self.rank, self.targets, self.scale, self.rank_pattern = rank, targets, scale, rank_pattern or {}

    def wrap(self, base):
        base.requires_grad_(False)
        for path, module in list(base.named_modules()):
            name = path.rsplit(".", 1)[-1]
            if name in self.targets:
                parent = base.get_submodule(path.rsplit(".", 1)[0])
                rank = self.rank_pattern.get(name, self.rank)
                setattr(parent, name, FloraLinear(module, rank, 1.0 if self.scale is None else self.scale))
        return base

    def save(self, folder, spec, model, _base):
        folder.mkdir(parents=True)
        tensors = {f"base_model.model.{name}": tensor.to(spec.dtype) for name, tensor in model.named_parameters() if ".flora_" in name}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = {"base_model_name_or_path": f"golden/{BASE.name}", "peft_type": "FLORA", "r": self.rank}
        config |= {} if self.scale is None else {"flora_scale": self.scale}
        config |= {"rank_pattern": self.rank_pattern} if self.rank_pattern else {}
        write_config(folder / "adapter_config.json", config | {"target_modules": sorted(self.targets), "task_type": "CAUSAL_LM"})

    def load(self, folder, base):
        model = self.wrap(base)
        stored = load_file(folder / "adapter_model.safetensors")
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if ".flora_" in name:
                    tensor.copy_(stored.pop(f"base_model.model.{name}"))
        assert not stored, stored.keys()
        return model


class MixedRanks:
    """HiRA as PEFT makes it of a second adapter: only there it heeds rank_pattern."""

    def __init__(self, config):
        self.config = config

    def add(self, base, add):
        model = get_peft_model(base, hira(1, self.config.target_modules), adapter_name="first")
        add(model)
        model.set_adapter("default")
        model.delete_adapter("first")
        return model

    def wrap(self, base):
        return self.add(base, lambda model: model.add_adapter("default", copy.deepcopy(self.config)))

    def load(self, folder, base):
        return self.add(base, lambda model: model.load_adapter(folder, "default"))


def raw_names(name):
    """Of PEFT's raw state dictionary."""
    return name + ".default"


VERA_SIZES = {"vera_lambda_d": 0.5, "vera_lambda_b": 0.5}
HIRA_SIZES = {"hira_A": 0.5, "hira_B": 0.5}
FLORA_SIZES = {"flora_A": 0.7, "flora_B": 0.7}
# PEFT 0.21 writes such a pattern and leaves it out.
HIRA_PATTERN = {"rank_pattern": {"layers.1.self_attn.q_proj": 6, "q_proj": 1, "down_proj": 2, "o_proj": 3}}
SHARED = vera(8, ("q_proj", "v_proj", "o_proj"), save_projection=False)

GAINS = (
    Family("ia3_bias", ia3(ATTENTION_INPUTS, ()), around_one=("ia3_l",)),
    Family("ia3_feedforward", ia3(("k_proj", "v_proj", "down_proj"), ("down_proj",)), around_one=("ia3_l",)),
    Family("ia3_all_bf16", ia3(EVERY_LINEAR, ("o_proj", "up_proj", "down_proj")), dtype=torch.bfloat16, around_one=("ia3_l",)),
    Family("ia3_raw_names", ia3(("v_proj", "o_proj"), ("o_proj",)), around_one=("ia3_l",), rename=raw_names),
    Family("vera_saved", vera(16, ("q_proj", "v_proj")), VERA_SIZES),
    Family("vera_saved_bf16", vera(7, ("k_proj", "down_proj")), VERA_SIZES, dtype=torch.bfloat16),
    Family("vera_raw_names", vera(5, ("q_proj", "gate_proj")), VERA_SIZES, rename=raw_names),
    Family("vera_prng", vera(12, ("q_proj", "v_proj"), save_projection=False), VERA_SIZES),
    Family("vera_prng_123", vera(12, ("k_proj", "up_proj"), save_projection=False, projection_prng_key=123), VERA_SIZES),
    Family("vera_prng_negative", vera(9, ("o_proj",), save_projection=False, projection_prng_key=-5), VERA_SIZES),
    Family("vera_prng_large", vera(4, ("v_proj",), save_projection=False, projection_prng_key=2**40 + 7), VERA_SIZES),
    Family("vera_mixed_shapes", vera(16, EVERY_LINEAR, save_projection=False), VERA_SIZES),
    Family("vera_mixed_shapes_saved", vera(6, EVERY_LINEAR), VERA_SIZES),
    Family("vera_bias_all", vera(4, ("q_proj", "o_proj"), bias="all"), VERA_SIZES | {"bias": 0.4}),
    Family("vera_bias_only", vera(4, ("v_proj", "down_proj"), bias="vera_only"), VERA_SIZES | {"v_proj.base_layer.bias": 0.4}),
    Family("vera_shared_1", SHARED, VERA_SIZES),
    Family("vera_shared_2", SHARED, VERA_SIZES),
    Family("hira", hira(4, EVERY_LINEAR), HIRA_SIZES),
    Family("hira_bf16", hira(3, ("q_proj", "down_proj")), HIRA_SIZES, dtype=torch.bfloat16),
    Family("hira_rank_pattern", hira(4, EVERY_LINEAR, **HIRA_PATTERN), HIRA_SIZES, edit=HIRA_PATTERN),
    Family("hira_mixed_ranks", MixedRanks(hira(4, EVERY_LINEAR, **HIRA_PATTERN)), HIRA_SIZES, edit=HIRA_PATTERN),
    Family("hira_raw_names", hira(2, ("v_proj", "up_proj")), HIRA_SIZES, rename=raw_names),
    Family("flora_r1", Flora(1, EVERY_LINEAR, 0.8), around_one=("flora_A", "flora_B")),
    Family("flora_r3", Flora(3, ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")), FLORA_SIZES),
    Family("flora_rank_pattern", Flora(2, ("k_proj", "gate_proj"), 1.5, {"k_proj": 1}), FLORA_SIZES),
)
