"""Adapters of every family on one small model, made and loaded again by PEFT, each with a prompt of its own.

Every trainable tensor is random: an adapter as PEFT initialises it changes nothing. Families that PEFT does not have
bring their own formula.
"""

import copy
import json
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

import golden_models as models
import golden_specs as specs
from golden_adapters import ADAPTER_MARGIN, EVERY_LINEAR, TENSOR_MARGIN, write_config

TAIL = 3  # positions whose logits are kept
# Inputs and outputs of different sizes; k and v are narrower than q; biases on q, k and v.
BASE = specs.Model("families", 50, specs.qwen2(**specs.sizes(97, 64, 160, 4, 2), **specs.rope(10000.0), tie_word_embeddings=False))


# Tied embeddings, norms of queries and keys, no biases.
TIED_BASE = specs.Model("families_tied", 51, specs.qwen3(**specs.sizes(89, 48, 80, 6, 2), **specs.rope(10000.0), head_dim=16, tie_word_embeddings=True))


@dataclass
class Family:
    """An adapter. `config` is PEFT's, or an object that has `wrap`, `save` and `load` of its own. `sizes`: the deviation of the numbers of tensors whose name contains a key."""

    name: str
    config: object
    sizes: dict = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    prepare: object = None  # changes the random model before it is saved
    edit: dict = field(default_factory=dict)  # keys of adapter_config.json set by hand before the logits are made
    file: object = None  # changes the tensors of the file before the logits are made
    rename: object = None  # renames tensors of the file after the logits are made
    around_one: tuple = ()  # tensors that are multiplied with: random numbers around 1
    tokens: tuple = ()  # with which its prompt begins
    length: int = 0  # of its prompt; 0: by its name
    unfelt: tuple = ()  # tensors whose zeroing need not move anything
    added: int = 0  # tokens after the base's vocabulary


def dora(rank, alpha, targets, **keys):
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, target_modules=list(targets), use_dora=True, **keys)


LORA_SIZES = {"lora_A": 0.125, "lora_B": 0.1}
MAGNITUDE = "lora_magnitude_vector"


def torchtune_names(name):
    return name + ".weight" if name.endswith(MAGNITUDE) else name


def raw_names(name):
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.").replace(MAGNITUDE, MAGNITUDE + ".default.weight")


DORA_PATTERN = {"rank_pattern": {"q_proj": 7, "down_proj": 3}, "alpha_pattern": {"o_proj": 3}}
DORA = (
    Family("dora", dora(4, 8, EVERY_LINEAR), LORA_SIZES, around_one=(MAGNITUDE,)),
    Family("dora_qkv_bf16", dora(8, 8, EVERY_LINEAR[:3]), LORA_SIZES, torch.bfloat16, around_one=(MAGNITUDE,)),
    Family("dora_rank_pattern", dora(4, 8, EVERY_LINEAR, **DORA_PATTERN), LORA_SIZES, edit=DORA_PATTERN, around_one=(MAGNITUDE,)),
    Family("dora_rslora", dora(4, 8, ("v_proj", "o_proj", "up_proj"), use_rslora=True), LORA_SIZES, around_one=(MAGNITUDE,)),
    Family("dora_torchtune_names", dora(2, 4, ("q_proj", "down_proj")), LORA_SIZES, around_one=(MAGNITUDE,), rename=torchtune_names),
    Family("dora_lm_head", dora(4, 8, ("v_proj", "lm_head")), LORA_SIZES, around_one=(MAGNITUDE,)),
    Family("emb_dora", dora(4, 8, ("v_proj", "embed_tokens")), LORA_SIZES | {"lora_embedding_A": 0.3, "lora_embedding_B": 0.3}, around_one=(MAGNITUDE,)),
    Family("dora_raw_names", dora(2, 4, ("k_proj", "gate_proj")), LORA_SIZES, around_one=(MAGNITUDE,), rename=raw_names),
)


def all_families():
    from golden_families_gains import GAINS
    from golden_families_long import LONG
    from golden_families_low_rank import LOW_RANK
    from golden_families_saved import SAVED
    from golden_families_sparse import SPARSE
    from golden_families_starts import STARTS

    return DORA + GAINS + LOW_RANK + SAVED + LONG + SPARSE + STARTS


def tied_families():
    from golden_families_saved import TIED

    return TIED


def randomise(model, spec, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            if not tensor.requires_grad:
                continue
            numbers = torch.randn(tensor.shape, generator=generator)
            if any(key in name for key in spec.around_one):
                tensor.mul_(1 + 0.2 * numbers)
                continue
            size = next((size for key, size in spec.sizes.items() if key in name), None)
            assert size is not None, (spec.name, name)
            tensor.copy_(size * numbers)


def save(folder, spec, model, base):
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_model.safetensors"
    tensors = {name: tensor.to(spec.dtype) if tensor.is_floating_point() else tensor for name, tensor in load_file(path).items()}
    save_file(spec.file(tensors) if spec.file else tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"golden/{base.name}"
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value.sort()  # PEFT keeps sets
    write_config(folder / "adapter_config.json", config | spec.edit)


def check(spec, model, base_logits, run):
    """Asserts that the adapter and each of its tensors are felt."""
    adapter_logits = run(model)
    moved = (adapter_logits - base_logits).abs().max().item()
    assert moved > ADAPTER_MARGIN, (spec.name, moved)
    named = [key for key in (*spec.sizes, *spec.around_one) if key not in spec.unfelt]
    for name, tensor in model.named_parameters():
        if not any(key in name for key in named) or tensor.numel() == 0:
            continue
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.copy_(2 * tensor if any(key in name for key in spec.around_one) else torch.zeros_like(tensor))
        change = (run(model) - adapter_logits).abs().max().item()
        with torch.no_grad():
            tensor.copy_(kept)
        assert change > TENSOR_MARGIN, (spec.name, name, change)


def grown(model, added):
    if added > 0:
        torch.manual_seed(added)  # of the new rows
        model.resize_token_embeddings(model.config.vocab_size + added, mean_resizing=False)
    return model


def make_adapter(folder, spec, seed, base, load_base):
    """Writes the folder and returns the model that PEFT makes of it."""
    shutil.rmtree(folder, ignore_errors=True)
    wrap = getattr(spec.config, "wrap", lambda base: get_peft_model(base, copy.deepcopy(spec.config)))
    load = getattr(spec.config, "load", lambda folder, base: PeftModel.from_pretrained(base, folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrap(load_base())
        randomise(model, spec, seed)
        if spec.prepare:
            spec.prepare(model)
        getattr(spec.config, "save", save)(folder, spec, model, base)
        return load(folder, load_base()).eval()


def finish(folder, spec):
    if spec.rename:
        path = folder / "adapter_model.safetensors"
        save_file({spec.rename(name): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def make_families(out, base, families):
    folder = out / base.name
    _, tensors = models.make_base(base, folder)
    model_of_base = models.load(folder)
    for spec in families:
        seed = sum(spec.name.encode()) * 31 + len(spec.name)  # of the name: further adapters change no others
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, base.config.vocab_size, (spec.length or 3 + seed % 29,), generator=generator).tolist()
        ids[: len(spec.tokens)] = spec.tokens
        path = folder / "adapters" / spec.name
        model = make_adapter(path, spec, seed, base, lambda added=spec.added: grown(models.load(folder), added))
        unchanged = grown(models.load(folder), spec.added) if spec.added else model_of_base
        check(spec, model, models.logits(unchanged, ids), lambda changed, ids=ids: models.logits(changed, ids))
        results = models.outputs(model, ids, spec.name)
        if hasattr(spec.config, "check"):
            spec.config.check(path, models.load(folder), ids, results[f"logits.{spec.name}"])
        models.check_bf16(spec.name, model, ids, results[f"logits.{spec.name}"])
        results[f"logits_tail.{spec.name}"] = results.pop(f"logits.{spec.name}")[-TAIL:]
        tensors |= results | {f"ids.{spec.name}": torch.tensor(ids, dtype=torch.int32)}
        finish(path, spec)
    models.write_expected(folder, tensors)
    print(f"{base.name}: {len(families)} adapters, {models.folder_bytes(folder):,} bytes")


def make(out: Path):
    make_families(out, BASE, all_families())
    make_families(out, TIED_BASE, tied_families())
