#!/usr/bin/env python3
"""Makes a PEFT LoRA folder of an mlx-lm adapter folder: tools/convert_mlx_adapter.py MLX_FOLDER PEFT_FOLDER

mlx-lm computes y = W x + scale * (x A) B with lora_a [in, rank] and lora_b [rank, out]; PEFT computes y = W x + alpha / rank * B A x with
lora_A [rank, in] and lora_B [out, rank]: the matrices are transposed, and alpha is scale * rank. The numbers stay the same bits.
"""
import json
import pathlib
import re
import struct
import sys

import numpy

BITS = {"F32": numpy.uint32, "F16": numpy.uint16, "BF16": numpy.uint16}


def read_tensors(path):
    data = path.read_bytes()
    header_bytes = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in BITS:
            sys.exit(f"{name}: expected F32, F16 or BF16, found {entry['dtype']}")
        values = numpy.frombuffer(data[8 + header_bytes + begin : 8 + header_bytes + end], BITS[entry["dtype"]])
        yield name, entry["dtype"], values.reshape(entry["shape"])


def write_tensors(path, tensors):
    header, offset, parts = {"__metadata__": {"format": "pt"}}, 0, []
    for name, dtype, values in tensors:
        data = numpy.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    config = json.loads((source / "adapter_config.json").read_text())
    if config.get("fine_tune_type", "lora") != "lora":
        sys.exit(f"fine_tune_type: expected lora, found {config['fine_tune_type']}")
    parameters = config["lora_parameters"]

    tensors, modules = [], set()
    for name, dtype, values in read_tensors(source / "adapters.safetensors"):
        match = re.fullmatch(r"(.*)\.lora_([ab])", name)
        if match is None or values.ndim != 2:
            sys.exit(f"{name}: expected a matrix lora_a or lora_b of a linear module")
        modules.add(match.group(1))
        tensors.append((f"base_model.model.{match.group(1)}.lora_{match.group(2).upper()}.weight", dtype, values.T))

    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target / "adapter_model.safetensors", tensors)
    peft = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": parameters["rank"], "lora_alpha": parameters["scale"] * parameters["rank"],
            "target_modules": sorted(modules), "bias": "none", "base_model_name_or_path": config.get("model", "")}
    (target / "adapter_config.json").write_text(json.dumps(peft, indent=2) + "\n")


if __name__ == "__main__":
    main()
