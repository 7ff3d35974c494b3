"""PEFT adapters of the golden models: made by peft, every tensor randomised, loaded again by peft for the expected logits."""

import json
import re
import shutil
import warnings
from dataclasses import dataclass, field

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

ADAPTER_PROMPTS = (1, 2)  # which of the model's prompts have adapter logits
ADAPTER_MARGIN = 0.1  # an adapter must move some logit by more
TENSOR_MARGIN = 1e-3  # and so must each of its tensors
EVERY_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass
class Adapter:
    name: str
    lora: dict  # arguments of LoraConfig
    dtype: torch.dtype = torch.float32
    edit: dict = field(default_factory=dict)  # keys of adapter_config.json set by hand, in this order, before the logits are made
    file: object = None  # changes the tensors of the file before the logits are made
    rename: object = None  # renames tensors of the file after the logits are made


def lora(rank, alpha, targets, **keys):
    return {"r": rank, "lora_alpha": alpha, "target_modules": targets if isinstance(targets, str) else list(targets)} | keys


def default_names(name):
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


def wrapper_names(name):
    return "module." + name


def names_before_07(name):
    return name.replace(".base_layer.bias", ".bias")


def without_biases(tensors):
    return {name: tensor for name, tensor in tensors.items() if "lora_" in name}


def mixed_dtypes(tensors):
    kinds = (torch.float32, torch.bfloat16, torch.float16)
    return {name: tensor.to(kinds[index % 3]) for index, (name, tensor) in enumerate(sorted(tensors.items()))}


# Order decides: the first key that matches a module wins, in each dictionary on its own.
PATTERNS = {
    "rank_pattern": {
        "model.layers.1.self_attn.q_proj": 3,
        "(q|v)_proj": 7,
        "^model\\.layers\\.0\\.mlp.*": 5,
        ".*_proj": 2,
        "down_proj": 11,
    },
    "alpha_pattern": {"layers\\.0\\..*_proj": 6, "q_proj": 20, "self_attn.k_proj": 9.5, "_proj": 1000, "mlp\\.(gate|up)_proj": 3},
}

Q_V_R8 = Adapter("q_v_r8", lora(8, 16, ("q_proj", "v_proj")))
ALL_R16 = Adapter("all_linear_r16_bf16", lora(16, 32, EVERY_LINEAR), torch.bfloat16)
PATTERNS_RSLORA = Adapter("patterns_rslora", lora(8, 16, EVERY_LINEAR, use_rslora=True, **PATTERNS), torch.bfloat16, edit=PATTERNS)
LORA_BIAS = Adapter("lora_bias", lora(4, 6, ("q_proj", "v_proj", "o_proj", "down_proj"), lora_bias=True))

LLAMA = (
    Q_V_R8,
    ALL_R16,
    Adapter("all_linear_string_fp16", lora(4, 8, "all-linear"), torch.float16),
    Adapter("o_r1", lora(1, 2, ("o_proj",))),
    Adapter("k_r256", lora(256, 32, ("k_proj",), layers_to_transform=[0], layers_pattern="layers"), torch.bfloat16),
    PATTERNS_RSLORA,
    LORA_BIAS,
    Adapter("layer_1_only", lora(6, 12, ("q_proj", "up_proj", "o_proj"), layers_to_transform=[1])),
    Adapter("regex_targets", lora(5, 10, r".*layers\.(0|1)\.(self_attn\.(q|k)_proj|mlp\.up_proj)")),
    Adapter("down_r3", lora(3, 3, ("down_proj",))),
    Adapter("k_alpha_fraction", lora(5, 8, ("k_proj",)), edit={"lora_alpha": 12.5}),
    Adapter("default_names", lora(4, 8, ("q_proj", "gate_proj")), rename=default_names),
    Adapter("wrapper_names", lora(4, 8, ("v_proj", "down_proj")), rename=wrapper_names),
    Adapter("mlp_r6_gaussian", lora(6, 6, ("gate_proj", "up_proj", "down_proj"), init_lora_weights="gaussian")),
    Adapter("mixed_dtypes", lora(9, 18, ("q_proj", "o_proj", "gate_proj")), file=mixed_dtypes),
)

QWEN2 = (
    Q_V_R8,
    ALL_R16,
    PATTERNS_RSLORA,
    LORA_BIAS,
    Adapter("bias_all", lora(4, 8, ("q_proj", "o_proj"), bias="all")),
    Adapter("bias_all_names_before_07", lora(3, 8, ("q_proj", "v_proj"), bias="all"), rename=names_before_07),
    Adapter("bias_lora_only", lora(4, 8, ("q_proj", "k_proj", "down_proj"), bias="lora_only")),
    Adapter("bias_lora_only_missing", lora(2, 8, ("q_proj", "k_proj"), bias="lora_only"), file=without_biases),
    Adapter("bias_all_fp16", lora(2, 8, ("k_proj", "v_proj"), bias="all"), torch.float16),
)

QWEN3 = (
    Q_V_R8,
    ALL_R16,
    PATTERNS_RSLORA,
    LORA_BIAS,
    Adapter("rslora_r32", lora(32, 24, ("k_proj", "o_proj", "up_proj"), use_rslora=True), torch.bfloat16),
)

MISTRAL = (ALL_R16, Adapter("q_k_r4", lora(4, 8, ("q_proj", "k_proj"))), Adapter("v_r13", lora(13, 7, ("v_proj",)), torch.float16))
LLAMA3 = (Adapter("all_linear_r7", lora(7, 9, EVERY_LINEAR), torch.bfloat16),)
LLAMA_BIAS = (
    Adapter("bias_all", lora(4, 8, ("o_proj", "up_proj"), bias="all")),
    Adapter("bias_lora_only", lora(4, 8, ("o_proj", "down_proj"), bias="lora_only")),
    LORA_BIAS,
)


def randomise(model, seed):
    """A keeps a row's size near one; B makes the adapter move a projection by up to two fifths of its size, whatever rank and alpha are."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, deviation):
        tensor.copy_(deviation * torch.randn(tensor.shape, generator=generator))

    with torch.no_grad():
        for _, module in sorted((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)):
            for key in module.lora_A:
                a, b, scale = module.lora_A[key], module.lora_B[key], module.scaling[key]
                normal(a.weight, a.weight.shape[1] ** -0.5)
                rank = b.weight.shape[1]
                normal(b.weight, 0.2 * min(rank, 4) ** 0.5 / (scale * rank**0.5))  # small ranks put all of it in few directions
                if b.bias is not None:
                    normal(b.bias, 0.5 / scale)
        for name, tensor in sorted(model.named_parameters()):
            if tensor.requires_grad and "lora_" not in name:  # stored biases
                normal(tensor, 0.4)


def write_config(path, config):
    path.write_text(json.dumps(config, indent=2) + "\n")


def save(folder, spec, model, base_name):
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_model.safetensors"
    tensors = {name: tensor.to(spec.dtype) for name, tensor in load_file(path).items()}
    save_file(spec.file(tensors) if spec.file else tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"golden/{base_name}"
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # peft keeps a set
    write_config(folder / "adapter_config.json", config | spec.edit)


def reload(folder, spec, base):
    """peft's own reading of the folder; every tensor of the file must have arrived."""
    model = PeftModel.from_pretrained(base, folder).eval()
    arrived = dict(model.named_parameters())
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        inside = name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
        if inside not in arrived:
            inside = inside.removesuffix(".weight") + ".modules_to_save.default.weight"
        assert torch.equal(arrived[inside], tensor.float()), (spec.name, name)
    return model


def check(spec, model, base_logits, run):
    """Asserts that the adapter and each of its tensors are felt. `run` gives the logits of a model."""
    adapter_logits = run(model)
    moved = (adapter_logits - base_logits).abs().max().item()
    assert moved > ADAPTER_MARGIN, (spec.name, moved)
    stores_biases = spec.lora.get("bias", "none") != "none"
    for name, tensor in model.named_parameters():
        if "vision_tower" in name or ("lora_" not in name and not (stores_biases and name.endswith(".bias"))):  # of a tower, no text is felt
            continue
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.zero_()
        change = (run(model) - adapter_logits).abs().max().item()
        with torch.no_grad():
            tensor.copy_(kept)
        assert change > TENSOR_MARGIN, (spec.name, name, change)
    if "alpha_pattern" in spec.edit:  # the order of the alpha keys must matter
        config = model.peft_config["default"]
        modules = [name for name, module in model.base_model.model.named_modules() if isinstance(module, LoraLayer)]
        forward, backward = list(config.alpha_pattern), list(reversed(config.alpha_pattern))
        assert forward == list(spec.edit["alpha_pattern"]) and any(
            first_match(forward, m) != first_match(backward, m) for m in modules
        ), spec.name


def first_match(keys, module):
    return next((key for key in keys if re.match(rf"(.*\.)?({key})$", module)), None)


def make_adapter(folder, spec, model_name, seed, load_base):
    """Writes the folder and returns the model peft makes of it; names are changed by finish()."""
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(load_base(), LoraConfig(task_type="CAUSAL_LM", **spec.lora))
        randomise(model, seed)
        save(folder, spec, model, model_name)
        return reload(folder, spec, load_base())


def finish(folder, spec):
    if spec.rename:
        path = folder / "adapter_model.safetensors"
        save_file({spec.rename(name): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
