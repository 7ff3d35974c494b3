"""A tiny model in the forms of GPTQ, AWQ, compressed-tensors, FP8 and bitsandbytes, and the numbers that each form stands for.

The numbers are those of the programs themselves: gptqmodel (GPTQ, AWQ), compressed-tensors, transformers and bitsandbytes, all of which need
to be installed. What no program of today computes any more (`weight_g_idx` of compressed-tensors) is computed here, from the form's
description. Packing of GPTQ and AWQ is this script's own.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import golden_models as models
import golden_specs as specs
from golden_adapters import EVERY_LINEAR

BASE = specs.Model("base", 70, specs.qwen2(**specs.sizes(61, 64, 96, 4, 2), **specs.rope(10000.0), tie_word_embeddings=False, num_hidden_layers=1))
ADAPTER = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=[*EVERY_LINEAR, "lm_head"])
TAIL = 3  # positions whose logits are kept
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
MARGIN = 0.05  # what quantising moves the logits by, at least


def pack(codes, bits, order=None):
    """[..., n] to int32 [..., n * bits / 32], the first in the lowest bits."""
    per_word = 32 // bits
    words = codes.long().reshape(*codes.shape[:-1], -1, per_word)[..., list(order or range(per_word))]
    shifts = torch.arange(per_word) * bits
    packed = (words << shifts).sum(-1)
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def quantised(weight, bits, groups, symmetric, dtype):
    """Codes [in, out], scales and zeros [groups, out] of a weight [out, in] whose inputs have these groups."""
    top = 2**bits - 1
    count = int(groups.max()) + 1
    columns = weight.float().t()  # [in, out]
    scales, zeros = torch.empty(count, weight.shape[0]), torch.empty(count, weight.shape[0])
    for group in range(count):
        part = columns[groups == group]
        low, high = part.amin(0).clamp(max=0), part.amax(0).clamp(min=0)
        if symmetric:
            scales[group] = 2 * torch.maximum(-low, high) / top
            zeros[group] = 2 ** (bits - 1)
        else:
            scales[group] = (high - low) / top
            zeros[group] = (-low / scales[group]).round()
    scales = scales.to(dtype)
    codes = (columns / scales.float()[groups] + zeros[groups]).round().clamp(0, top)
    return codes.int(), scales, zeros.int()


def gptq(bits, group, symmetric=True, act_order=False, v2=False, dtype=torch.float16):
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order, "sym": symmetric, "lm_head": False,
              "damp_percent": 0.01, "static_groups": False, "true_sequential": True, "checkpoint_format": "gptq_v2" if v2 else "gptq",
              "pack_dtype": "int32", "meta": {"quantizer": ["gptqmodel:1.4.0"]}}  # fmt: skip

    def convert(name, weight):
        from gptqmodel.nn_modules.qlinear.torch import TorchLinear
        from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

        size = weight.shape[1] if group == -1 else group
        groups = torch.arange(weight.shape[1]) // size
        if act_order:
            groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(len(name)))]
        codes, scales, zeros = quantised(weight, bits, groups, symmetric, dtype)
        if not v2 and not symmetric:  # gptqmodel subtracts one from whole words
            stored = (pack(zeros, bits).long() - (0x11111111 if bits == 4 else 0x01010101)) & 0xFFFFFFFF
            stored = torch.where(stored >= 2**31, stored - 2**32, stored).to(torch.int32)
        else:
            stored = pack(zeros if v2 else zeros - 1, bits)
        tensors = {"qweight": pack(codes.t(), bits).t().contiguous(), "qzeros": stored, "scales": scales, "g_idx": groups.int()}
        linear = TorchLinear(bits=bits, group_size=group, sym=symmetric, desc_act=act_order, in_features=weight.shape[1],
                             out_features=weight.shape[0], bias=False, pack_dtype=torch.int32, register_buffers=True)  # fmt: skip
        for key, tensor in tensors.items():
            setattr(linear, key, tensor.clone())
        if not v2:
            convert_gptq_v1_to_v2_format_module(linear, bits, torch.int32)
        linear._init_wf_unsqueeze_buffers()  # of post_init(), which also compiles
        found = linear.dequantize_weight().t().contiguous()
        exact = scales.float()[groups] * (codes - zeros[groups])
        assert torch.equal(found, exact.to(dtype).t()), name
        return {f"{name}.{key}": tensor for key, tensor in tensors.items()}, found

    return config, convert


def awq(group):
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm", "modules_to_not_convert": None}

    def convert(name, weight):
        from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

        size = weight.shape[1] if group == -1 else group
        codes, scales, zeros = quantised(weight, 4, torch.arange(weight.shape[1]) // size, False, torch.float16)
        tensors = {"qweight": pack(codes, 4, AWQ_ORDER), "qzeros": pack(zeros, 4, AWQ_ORDER), "scales": scales}
        found = dequantize_gemm(tensors["qweight"], tensors["qzeros"], scales, 4, size).t().contiguous()
        return {f"{name}.{key}": tensor for key, tensor in tensors.items()}, found

    return config, convert


def compressed(form, weights, ignore=("lm_head",), inputs=None, dtype=torch.bfloat16, others=()):
    """`others`: further groups (targets, weights), which come first."""
    groups = [*others, (["Linear"], weights)]
    config = {"quant_method": "compressed-tensors", "format": form, "ignore": list(ignore), "quantization_status": "compressed",
              "global_compression_ratio": None, "kv_cache_scheme": None, "version": "0.20.1",
              "config_groups": {f"group_{i}": {"targets": targets, "weights": args, "input_activations": inputs, "output_activations": None}
                                for i, (targets, args) in enumerate(groups)}}  # fmt: skip

    def convert(name, weight):
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        from compressed_tensors.quantization.lifecycle.forward import dequantize
        from compressed_tensors.quantization.utils import calculate_qparams

        if any(name == key or key == "re:.*o_proj" and name.endswith("o_proj") for key in ignore):
            return {f"{name}.weight": weight}, None
        keys = next(args for targets, args in groups if targets == ["Linear"] or any(name.endswith(t.removeprefix("re:.*")) for t in targets))
        args = QuantizationArgs(**{key: value for key, value in keys.items() if key != "actorder"})
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        compressor = BaseCompressor.get_value_from_registry(form)
        value = weight.to(dtype)
        order = torch.arange(weight.shape[1])
        if keys.get("actorder") == "group":
            order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(len(name)))
            value = value[:, order]
        strategy = args.strategy
        if strategy == "tensor":
            blocks = value.reshape(1, -1)
        elif strategy == "channel":
            blocks = value.unsqueeze(1)
        elif strategy == "group":
            blocks = value.unflatten(1, (-1, args.group_size))
        else:
            height, width = args.block_structure
            padded = torch.nn.functional.pad(value, (0, -value.shape[1] % width, 0, -value.shape[0] % height))
            blocks = padded.unflatten(0, (-1, height)).unflatten(2, (-1, width)).transpose(1, 2).flatten(2)
        scale, zero = calculate_qparams(blocks.amin(-1), blocks.amax(-1), args)
        state = {"weight": value, "weight_scale": scale.to(dtype), "weight_zero_point": zero}
        if keys["symmetric"]:
            state.pop("weight_zero_point")
        state = compressor.compress(state, scheme)
        found = compressor.decompress(dict(state), scheme)["weight"]
        if keys.get("actorder") == "group":
            inverse = torch.argsort(order)
            codes = compressor.decompress({**state, "weight_scale": torch.ones_like(state["weight_scale"])}, scheme)["weight"]
            state["weight_packed"] = compressor.compress({"weight": codes[:, inverse], "weight_scale": torch.ones(weight.shape[0], weight.shape[1] // args.group_size, dtype=dtype)}, scheme)["weight_packed"]  # fmt: skip
            groups_of = (torch.arange(weight.shape[1]) // args.group_size)[inverse]
            state["weight_g_idx"] = groups_of.int()
            assert torch.equal(found[:, inverse], codes[:, inverse] * state["weight_scale"][:, groups_of])
            found = found[:, inverse]
        if inputs and not inputs["dynamic"]:
            state["input_scale"] = torch.full((1,), 0.0625, dtype=dtype)
        return {f"{name}.{key}": tensor.contiguous() for key, tensor in state.items()}, found.contiguous()

    return config, convert


def fp8(block):
    config = {"quant_method": "fp8", "activation_scheme": "dynamic" if block else "static", "fmt": "e4m3", "weight_block_size": block}
    largest = torch.finfo(torch.float8_e4m3fn).max

    def convert(name, weight):
        from transformers.integrations.finegrained_fp8 import Fp8Dequantize

        (out, width), (rows, columns) = weight.shape, block or weight.shape
        padded = torch.nn.functional.pad(weight.float(), (0, -width % columns, 0, -out % rows))
        scale = padded.unflatten(0, (-1, rows)).unflatten(2, (-1, columns)).abs().amax((1, 3)) / largest
        scales = scale.repeat_interleave(rows, 0)[:out].repeat_interleave(columns, 1)[:, :width]
        codes = (weight.float() / scales).to(torch.float8_e4m3fn)
        found = codes.float() * scales
        if out % rows == 0 and width % columns == 0:  # transformers refuses others, vLLM has them
            assert torch.equal(found, Fp8Dequantize(None)._dequantize_one(codes, scale, torch.float32)), name
        if block:
            return {f"{name}.weight": codes, f"{name}.weight_scale_inv": scale}, found
        return {f"{name}.weight": codes, f"{name}.weight_scale": scale.reshape(()), f"{name}.input_scale": torch.tensor(0.5)}, found

    return config, convert


def bitsandbytes(double, dtype, block=64, skipped=()):
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "_load_in_4bit": True, "_load_in_8bit": False,
              "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": double, "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
              "llm_int8_enable_fp32_cpu_offload": False, "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": list(skipped) or None,
              "llm_int8_threshold": 6.0}  # fmt: skip

    def convert(name, weight):
        import bitsandbytes.functional as bnb

        if any(name.endswith(key) for key in skipped):
            return {f"{name}.weight": weight}, None
        codes, state = bnb.quantize_4bit(weight.to(dtype), blocksize=block, quant_type="nf4", compress_statistics=double)
        # As one row: the CPU kernel takes blocks of rows, where these are no whole blocks.
        state.shape = torch.Size([1, weight.numel()])
        found = bnb.dequantize_4bit(codes, state).reshape(weight.shape)
        state.shape = weight.shape
        return {f"{name}.weight": codes} | {f"{name}.weight.{key}": tensor for key, tensor in state.as_dict(packed=True).items()}, found

    return config, convert


INT4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32, "dynamic": False, "observer": "minmax"}
INT8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
FLOAT8 = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel", "dynamic": False}
TOKENS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
STATIC = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "tensor", "dynamic": False}

FORMS = {
    "gptq4": lambda: gptq(4, 32),
    "gptq4_act_order": lambda: gptq(4, 32, act_order=True),
    "gptq4_asymmetric": lambda: gptq(4, 32, symmetric=False),
    "gptq4_v2": lambda: gptq(4, 16, symmetric=False, act_order=True, v2=True, dtype=torch.bfloat16),
    "gptq8": lambda: gptq(8, -1),
    "gptq8_asymmetric": lambda: gptq(8, 32, symmetric=False),
    "awq": lambda: awq(32),
    "awq_channel": lambda: awq(-1),
    "packed4": lambda: compressed("pack-quantized", INT4),
    "packed4_zeros": lambda: compressed("pack-quantized", INT4 | {"symmetric": False, "group_size": 16}, dtype=torch.float16),
    "packed4_act_order": lambda: compressed("pack-quantized", INT4 | {"actorder": "group"}),
    "packed8": lambda: compressed("pack-quantized", INT8),
    "packed8_zeros": lambda: compressed("pack-quantized", INT8 | {"symmetric": False}, dtype=torch.float32),
    "packed_mixed": lambda: compressed("pack-quantized", INT4, ignore=("lm_head", "re:.*o_proj"), others=[(["re:.*down_proj"], INT8)]),
    "int8": lambda: compressed("int-quantized", INT8, inputs=TOKENS),
    "int8_zeros": lambda: compressed("int-quantized", INT8 | {"symmetric": False}, inputs=TOKENS),
    "float8_channel": lambda: compressed("float-quantized", FLOAT8, inputs=TOKENS | {"type": "float"}),
    "float8_tensor": lambda: compressed("float-quantized", FLOAT8 | {"strategy": "tensor"}, inputs=STATIC),
    "float8_block": lambda: compressed("float-quantized", FLOAT8 | {"strategy": "block", "block_structure": [32, 32]}),
    "fp8": lambda: fp8([32, 32]),
    "fp8_ragged": lambda: fp8([40, 64]),
    "fp8_tensor": lambda: fp8(None),
    "nf4": lambda: bitsandbytes(False, torch.float16),
    "nf4_double": lambda: bitsandbytes(True, torch.bfloat16),
    "nf4_skipped": lambda: bitsandbytes(True, torch.float32, 128, ("lm_head", "down_proj")),
}


def make_base(folder):
    model = AutoModelForCausalLM.from_config(BASE.config, dtype=torch.float32)
    models.randomise(model, BASE.seed)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_adapter(folder, base):
    model = get_peft_model(models.load(base), ADAPTER)
    generator = torch.Generator().manual_seed(71)
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            if "lora_" in name:
                tensor.copy_((0.125 if "lora_A" in name else 0.1) * torch.randn(tensor.shape, generator=generator))
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "base"}, indent=2, sort_keys=True) + "\n")


def make(out: Path):
    root = out / "quantised"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    base, adapter = root / "base", root / "adapter"
    make_base(base)
    make_adapter(adapter, base)
    plain = load_file(base / "model.safetensors")
    linear = [name.removesuffix(".weight") for name in plain if name.endswith("proj.weight")]
    ids = models.prompts(61, 70)[2]
    unquantised = models.logits(PeftModel.from_pretrained(models.load(base), adapter).eval(), ids)
    for name, form in FORMS.items():
        folder = root / name
        folder.mkdir()
        config, convert = form()
        files, expected = {key: tensor for key, tensor in plain.items() if not key.endswith("proj.weight")}, {}
        model = models.load(base)
        for module in linear:
            parts, weight = convert(module, plain[f"{module}.weight"])
            files |= {key: tensor.clone() for key, tensor in parts.items()}  # some share memory
            if weight is not None:
                expected[f"{module}.weight"] = weight.contiguous()
                model.get_parameter(f"{module}.weight").data.copy_(weight.float())
                step = (weight.float() - plain[f"{module}.weight"].float()).abs().max() / plain[f"{module}.weight"].float().abs().max()
                assert step < 0.3, (name, module, step)
        save_file(files, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(json.loads((base / "config.json").read_text()) | {"quantization_config": config}, indent=2) + "\n")
        logits = models.logits(PeftModel.from_pretrained(model, adapter).eval(), ids)
        moved = (logits - unquantised).abs().max()
        assert moved > (MARGIN if "8" not in name else 1e-3), (name, moved)
        expected["logits"] = logits[-TAIL:].float().contiguous()
        expected["ids"] = torch.tensor(ids, dtype=torch.int32)
        save_file(expected, folder / "expected.safetensors", metadata={"format": "pt"})
        print(f"quantised/{name}: {models.folder_bytes(folder):,} bytes, moves logits by {moved:.3f}")
    (base / "generation_config.json").unlink(missing_ok=True)
