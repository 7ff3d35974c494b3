"""Adapters of other programs' forms: tests/golden/foreign/NAME, each made of a PEFT folder whose numbers it must have.

`expected.json` names that folder (`peft`, below tests/golden) and the model that both are for. GGUF files are written by llama.cpp's own
package, with its names of tensors; pickles by torch. The orders of other programs are written down here once more: those of the q and k of
Llama are what convert_hf_to_gguf.py and torchtune's convert_weights.py make.
"""

import collections
import io
import json
import pickle
import re
import shutil
from pathlib import Path

import gguf
import torch
from safetensors.torch import load_file, save_file

PREFIX = "base_model.model."


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


class Case:
    """One folder, and the adapter that it is made of."""

    def __init__(self, out, name, model, adapter):
        self.peft = out / adapter
        self.folder = out / "foreign" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.config = json.loads((self.peft / "adapter_config.json").read_text())
        self.tensors = load_file(self.peft / "adapter_model.safetensors")
        self.model = json.loads((out / model / "config.json").read_text())
        write_json(self.folder / "expected.json", {"model": model, "peft": adapter})

    def heads(self, module):
        return self.model["num_attention_heads" if module == "q_proj" else "num_key_value_heads"]

    def pairs_together(self, name, tensor):
        """Rows of q and k as Meta's programs have them, where `tensor` has Hugging Face's order."""
        module = name.split(".")[-3]
        if module not in ("q_proj", "k_proj"):
            return tensor
        heads, rest = self.heads(module), tensor.shape[1:]
        return tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *rest).swapaxes(1, 2).reshape(tensor.shape).contiguous()


def parts_of(name):
    """"...q_proj.lora_A.weight" -> ("model.layers.0.self_attn.q_proj", "lora_A")"""
    path, _, part = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
    return path, part


def mlx(out, name, model, adapter):
    case = Case(out, name, model, adapter)
    endings = {"lora_A": "lora_a", "lora_B": "lora_b", "lora_magnitude_vector": "m"}
    tensors = {}
    for key, tensor in case.tensors.items():
        path, part = parts_of(key)
        tensors[f"{path}.{endings[part]}"] = tensor.T.contiguous() if tensor.dim() == 2 else tensor
    save_file(tensors, case.folder / "adapters.safetensors", metadata={"format": "mlx"})
    rank, alpha = case.config["r"], case.config["lora_alpha"]
    scale = alpha / rank**0.5 if case.config["use_rslora"] else alpha / rank
    kind = "dora" if case.config["use_dora"] else "lora"
    parameters = {"rank": rank, "dropout": 0.0, "scale": scale}
    config = {"adapter_path": "adapters", "fine_tune_type": kind, "lora_parameters": parameters, "num_layers": 2}
    write_json(case.folder / "adapter_config.json", config | {"model": "golden/" + model})


TORCHTUNE = {"self_attn.q_proj": "attn.q_proj", "self_attn.k_proj": "attn.k_proj", "self_attn.v_proj": "attn.v_proj",
             "self_attn.o_proj": "attn.output_proj", "mlp.gate_proj": "mlp.w1", "mlp.down_proj": "mlp.w2", "mlp.up_proj": "mlp.w3"}


def torchtune(out, name, model, adapter, is_llama, save):
    case = Case(out, name, model, adapter)
    endings = {"lora_A": "lora_a.weight", "lora_B": "lora_b.weight", "lora_magnitude_vector": "magnitude"}
    tensors = {}
    for key, tensor in case.tensors.items():
        path, part = parts_of(key)
        _, _, layer, module = path.split(".", 3)
        order = case.pairs_together if is_llama and part == "lora_B" else lambda _, same: same
        tensors[f"layers.{layer}.{TORCHTUNE[module]}.{endings[part]}"] = order(key, tensor)
    save(case.folder, tensors)
    kept = {key: case.config[key] for key in ("r", "lora_alpha", "target_modules")}
    write_json(case.folder / "adapter_config.json", kept | {"peft_type": "LORA"})


def write_gguf(path, case, architecture, kind, tensors):
    names = gguf.get_tensor_name_map({"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}[architecture], 2)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_string("general.base_model.0.name", "golden")
    writer.add_array("general.tags", ["lora", "golden"])
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(case.config["lora_alpha"]))
    for key, tensor in tensors.items():
        path_of_module, part = parts_of(key)
        target = names.get_name(path_of_module + ".weight", try_suffixes=(".weight",)) + "." + part.lower()
        if part == "lora_B" and architecture == "llama":
            tensor = case.pairs_together(key, tensor)
        if kind == gguf.GGMLQuantizationType.BF16:
            data = tensor.contiguous().view(torch.uint8).numpy().reshape(tensor.shape[0], -1)
            writer.add_tensor(target, data, raw_dtype=kind)
        elif kind == gguf.GGMLQuantizationType.Q8_0:
            writer.add_tensor(target, gguf.quants.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
        else:
            writer.add_tensor(target, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_case(out, name, model, adapter, architecture, kind, cast=lambda tensor: tensor):
    case = Case(out, name, model, adapter)
    write_gguf(case.folder / f"{name}.gguf", case, architecture, kind, {key: cast(tensor) for key, tensor in case.tensors.items()})


def rounded_peft(out):
    """An adapter whose numbers Q8_0 holds exactly: they have been through llama.cpp's own rounding."""
    folder = out / "foreign_peft" / "rounded_r32"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(5)
    tensors = {}
    kind = gguf.GGMLQuantizationType.Q8_0
    for module, inputs, outputs in (("self_attn.q_proj", 64, 64), ("self_attn.k_proj", 64, 32), ("self_attn.o_proj", 64, 64)):
        for part, shape in (("lora_A", (32, inputs)), ("lora_B", (outputs, 32))):
            numbers = (torch.randn(shape, generator=generator) / 8).numpy()
            exact = gguf.quants.dequantize(gguf.quants.quantize(numbers, kind), kind)
            tensors[f"{PREFIX}model.layers.1.{module}.{part}.weight"] = torch.from_numpy(exact.copy())
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 32, "lora_alpha": 40, "target_modules": ["q_proj", "k_proj", "o_proj"]}
    write_json(folder / "adapter_config.json", config | {"use_rslora": False, "use_dora": False})


def long_lora_peft(out):
    """What LongLoRA trains, as PEFT would save it: LoRA of the attention, the embedding, the norms."""
    folder = out / "foreign_peft" / "long_lora"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = load_file(out / "mix32/adapters/a07_r4/adapter_model.safetensors")
    base = load_file(out / "mix32/model.safetensors")
    for name, tensor in base.items():
        if "embed" in name or "norm" in name:
            tensors[PREFIX + name] = (tensor.float() * 1.25).to(torch.bfloat16)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "mix32/adapters/a07_r4/adapter_config.json").read_text())
    config = {key: value for key, value in config.items() if value is not None}
    more = {"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "modules_to_save": ["embed_tokens", "norm"]}
    write_json(folder / "adapter_config.json", config | more)


def with_stable_keys(path, tensors):
    """The form before zip names its storages by their addresses and sorts them by these: counts instead, in the order of the tensors."""
    data = path.read_bytes()
    described, end = data.rsplit(b"\x80\x02]", 1)
    stream = io.BytesIO(b"\x80\x02]" + end)
    sizes = dict(zip(re.findall(rb"X\x0e\0\0\0(\d{14})", described), (tensor.nbytes for tensor in tensors.values())))
    storages = {key: stream.read(8 + sizes[key.encode()]) for key in pickle.load(stream)}
    keys = {key: str(10**13 + index) for index, key in enumerate(sorted(storages, key=lambda key: described.index(key.encode())))}
    for key, stable in keys.items():
        described = described.replace(key.encode(), stable.encode())
    path.write_bytes(described + pickle.dumps(list(keys.values()), 2) + b"".join(storages[key] for key in keys))


def pickled(out, name, model, adapter, file="adapter_model.bin", change=lambda tensors: tensors, **options):
    case = Case(out, name, model, adapter)
    path = case.folder / file
    torch.save(change(collections.OrderedDict(case.tensors)), path, **options)
    shutil.copy(case.peft / "adapter_config.json", case.folder)
    return path


def parameters(tensors):
    """Trainable, half of them as views with other strides."""
    views = (tensor.T.contiguous().T if index % 2 else tensor for index, tensor in enumerate(tensors.values()))
    return {name: torch.nn.Parameter(view) for name, view in zip(tensors, views)}


def long_lora(out):
    case = Case(out, "long_lora", "mix32", "foreign_peft/long_lora")
    lora = {name: tensor for name, tensor in case.tensors.items() if ".lora_" in name}
    others = {name.removeprefix(PREFIX): tensor for name, tensor in case.tensors.items() if name not in lora}
    torch.save(lora, case.folder / "adapter_model.bin")
    torch.save(others, case.folder / "trainable_params.bin")
    added = ("rope_scaling", "modules_to_save")
    write_json(case.folder / "adapter_config.json", {key: value for key, value in case.config.items() if key not in added})


def make(out):
    torch.set_num_threads(1)
    rounded_peft(out)
    long_lora_peft(out)
    mlx(out, "mlx_lora", "llama2_mha", "llama2_mha/adapters/all_linear_r16_bf16")
    mlx(out, "mlx_rslora", "qwen3_norms", "qwen3_norms/adapters/rslora_r32")
    mlx(out, "mlx_dora", "families", "families/adapters/dora")
    as_safetensors = lambda folder, tensors: save_file(tensors, folder / "adapter_0.safetensors", metadata={"format": "pt"})
    torchtune(out, "torchtune_llama", "llama3_rope", "llama3_rope/adapters/all_linear_r7", True, as_safetensors)
    torchtune(out, "torchtune_dora", "families", "families/adapters/dora", False, as_safetensors)
    as_pickle = lambda folder, tensors: torch.save(tensors, folder / "adapter_0.pt")
    torchtune(out, "torchtune_pickled", "mistral_sliding", "mistral_sliding/adapters/q_k_r4", True, as_pickle)
    kinds = gguf.GGMLQuantizationType
    gguf_case(out, "gguf_f32", "llama3_rope", "llama3_rope/adapters/all_linear_r7", "llama", kinds.F32, lambda tensor: tensor.float())
    gguf_case(out, "gguf_bf16", "mistral_sliding", "mistral_sliding/adapters/all_linear_r16_bf16", "llama", kinds.BF16)
    gguf_case(out, "gguf_f16", "llama2_mha", "llama2_mha/adapters/all_linear_string_fp16", "llama", kinds.F16)
    gguf_case(out, "gguf_qwen2", "qwen2_bias", "qwen2_bias/adapters/q_v_r8", "qwen2", kinds.F32, lambda tensor: tensor.float())
    gguf_case(out, "gguf_q8", "llama3_rope", "foreign_peft/rounded_r32", "llama", kinds.Q8_0)
    pickled(out, "torch_zip", "mix32", "mix32/adapters/a08_r5")
    old = pickled(out, "torch_old_form", "mix32", "mix32/adapters/a05_r3", _use_new_zipfile_serialization=False)
    with_stable_keys(old, load_file(out / "mix32/adapters/a05_r3/adapter_model.safetensors"))
    pickled(out, "torch_parameters", "llama2_mha", "llama2_mha/adapters/mixed_dtypes", change=parameters)
    long_lora(out)
