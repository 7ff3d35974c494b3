"""Adapters of other programs' forms that must be refused, each for one reason, with the base mix32: tests/golden/foreign_refused/NAME.

`expected.json` holds the code, what the message must mention, and `by`: "load" (loading it, and converting it too) or "convert".
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

import golden_refused as plain

MLX_CONFIG = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 2, "dropout": 0.0, "scale": 2.0}}
GOOD = plain.good()


class Folders:
    def __init__(self, root):
        shutil.rmtree(root, ignore_errors=True)
        self.root = root

    def add(self, name, by, code, mentions, files):
        """`files`: bytes, JSON or tensors by the names of files."""
        folder = self.root / name
        folder.mkdir(parents=True)
        for file, content in files.items():
            if file.endswith(".json"):
                (folder / file).write_text(json.dumps(content))
            elif isinstance(content, dict):
                save_file(content, folder / file)
            else:
                (folder / file).write_bytes(content)
        (folder / "expected.json").write_text(json.dumps({"by": by, "code": code, "mentions": mentions}) + "\n")


def mlx_tensors(path="model.layers.0.self_attn.q_proj", rank=2, inputs=48, outputs=48):
    return {path + ".lora_a": torch.ones(inputs, rank), path + ".lora_b": torch.ones(rank, outputs)}


def add_mlx(folders):
    def add(name, code, mentions, config=MLX_CONFIG, tensors=None):
        folders.add(name, "load", code, mentions, {"adapter_config.json": config, "adapters.safetensors": tensors or mlx_tensors()})

    parameters = MLX_CONFIG["lora_parameters"]
    add("mlx_full", "E_UNSUPPORTED_OPTION", ["fine_tune_type", "full"], MLX_CONFIG | {"fine_tune_type": "full"})
    add("mlx_alpha", "E_SCALE", ["alpha", "16"], MLX_CONFIG | {"lora_parameters": parameters | {"alpha": 16.0}})
    add("mlx_without_scale", "E_SCALE", ["scale"], MLX_CONFIG | {"lora_parameters": {"rank": 2}})
    add("mlx_config_of_peft", "E_FOREIGN", ["lora_parameters"], plain.config())
    add("mlx_rank_not_config", "E_RANK", ["q_proj"], tensors=mlx_tensors(rank=3))
    add("mlx_embedding", "E_UNSUPPORTED_OPTION", ["embed_tokens"], tensors=mlx_tensors("model.embed_tokens", inputs=101))
    scales = {"model.layers.0.self_attn.q_proj.lora_a_scales": torch.ones(2, 2)}
    add("mlx_quantised", "E_UNKNOWN_TENSOR", ["lora_a_scales"], tensors=mlx_tensors() | scales)
    experts = {"model.layers.0.mlp.switch_mlp.up_proj.lora_a": torch.ones(4, 2, 48)}
    add("mlx_experts", "E_UNKNOWN_TENSOR", ["switch_mlp", "[4, 2, 48]"], tensors=mlx_tensors() | experts)
    magnitudes = {"model.layers.0.self_attn.q_proj.m": torch.ones(48)}
    add("mlx_magnitudes_without_dora", "E_PAIR", ["lora_magnitude_vector"], tensors=mlx_tensors() | magnitudes)


def gguf_bytes(folder, general_type="adapter", architecture="llama", alpha=4.0, kind=None, rank=2, outputs=48, name="blk.0.attn_q.weight"):
    path = folder / "made.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(general_type)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for part, shape in (("lora_a", (rank, 64 if kind else 48)), ("lora_b", (outputs, rank))):
        numbers = np.ones(shape, np.float32)
        writer.add_tensor(f"{name}.{part}", gguf.quants.quantize(numbers, kind) if kind else numbers, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    path.unlink()
    return data


def add_gguf(folders):
    def add(name, code, mentions, data):
        folders.add(name, "load", code, mentions, {"adapter.gguf": data})

    def made(**options):
        return gguf_bytes(folders.root, **options)

    add("gguf_q4", "E_DTYPE", ["Q4_0", "blk.0.attn_q.weight.lora_a"], made(kind=gguf.GGMLQuantizationType.Q4_0, rank=32))
    add("gguf_base_model", "E_FOREIGN", ["model"], made(general_type="model"))
    add("gguf_other_architecture", "E_WRONG_BASE", ["mamba"], made(architecture="mamba"))
    add("gguf_alpha_zero", "E_SCALE", ["adapter.lora.alpha"], made(alpha=0.0))
    add("gguf_odd_heads", "E_SHAPE", ["self_attn.q_proj", "[50, 2]"], made(outputs=50))
    add("gguf_unknown_module", "E_UNKNOWN_TENSOR", ["ssm_in"], made(name="blk.0.ssm_in.weight"))
    good = made()
    add("gguf_cut_off", "E_GGUF", ["lora_b"], good[:-64])
    add("gguf_header_cut_off", "E_GGUF", ["header"], good[:200])
    add("gguf_version_1", "E_GGUF", ["version"], good[:4] + struct.pack("<I", 1) + good[8:])
    add("gguf_big_endian", "E_GGUF", ["version"], good[:4] + struct.pack(">I", 3) + good[8:])
    add("gguf_many_tensors", "E_GGUF", ["tensors"], good[:8] + struct.pack("<Q", 2**60) + good[16:])
    add("gguf_text_beyond_file", "E_GGUF", ["header"], good[:24] + struct.pack("<Q", 2**63) + good[32:])
    add("gguf_shape_overflows", "E_GGUF", ["size"], good.replace(struct.pack("<QQ", 48, 2), struct.pack("<QQ", 2**40, 2**40)))
    add("gguf_shared_bytes", "E_GGUF", ["lora_b"], good.replace(struct.pack("<IQ", 0, 384), struct.pack("<IQ", 0, 32)))
    folders.add("gguf_two", "load", "E_FOREIGN", ["more"], {"a.gguf": good, "b.gguf": good})


def zip_bytes(pickled, storages=(), compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        moment = (1980, 1, 1, 0, 0, 0)
        for name, data in [("data.pkl", pickled), ("byteorder", b"little"), *((f"data/{key}", data) for key, data in storages)]:
            archive.writestr(zipfile.ZipInfo("archive/" + name, moment), data, compression)
    return file.getvalue()


def pickled_tensor(shape, stride, count=4, begin=0, storage=b"FloatStorage"):
    """{"t": a view of a storage}, as torch writes it."""
    integer = lambda value: b"\x8a\x08" + struct.pack("<q", value)
    sizes = lambda values: b"(" + b"".join(map(integer, values)) + b"t"
    described = b"(X\x07\0\0\0storagectorch\n" + storage + b"\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + integer(count) + b"tQ"
    view = described + integer(begin) + sizes(shape) + sizes(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n(" + view + b"tRs."


class Calls:
    """A pickle that calls a function when it is opened."""

    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


def add_pickles(folders):
    def add(name, code, mentions, data):
        folders.add(name, "convert", code, mentions, {"adapter_config.json": plain.config(), "adapter_model.bin": data})

    numbers = [("0", np.ones(4, np.float32).tobytes())]
    good = zip_bytes(pickled_tensor([4], [1]), numbers)
    add("pickle_runs_a_command", "E_PICKLE", ["system"], zip_bytes(pickle.dumps(Calls(os.system, "exit 1"), 2)))
    add("pickle_evaluates", "E_PICKLE", ["eval"], zip_bytes(pickle.dumps({"t": Calls(eval, "1 + 1")}, 2)))
    add("pickle_without_zip", "E_PICKLE", ["system"], pickle.dumps(Calls(os.system, "exit 1"), 2))
    add("pickle_of_numpy", "E_PICKLE", ["_reconstruct"], zip_bytes(pickle.dumps({"t": np.ones(2)}, 2)))
    add("pickle_protocol_4", "E_PICKLE", ["protocol 2", "4"], zip_bytes(pickle.dumps({"t": 1}, 4)))
    add("pickle_of_a_number", "E_PICKLE", ["dictionary"], zip_bytes(b"\x80\x02K\x01."))
    add("pickle_of_texts", "E_PICKLE", ['"t"'], zip_bytes(pickle.dumps({"t": "text"}, 2)))
    add("pickle_holds_itself", "E_PICKLE", ["something else"], zip_bytes(b"\x80\x02}q\x00X\x01\0\0\0th\x00s."))
    add("pickle_list_of_itself", "E_PICKLE", ["dictionary"], zip_bytes(b"\x80\x02]q\x00h\x00a."))
    add("pickle_cut_off", "E_PICKLE", ["too early"], zip_bytes(pickled_tensor([4], [1])[:-20], numbers))
    add("pickle_text_beyond_end", "E_PICKLE", ["too early"], zip_bytes(b"\x80\x02X\xff\xff\xff\xff."))
    add("pickle_empty_stack", "E_PICKLE", ["stack"], zip_bytes(b"\x80\x02R."))
    add("pickle_unknown_memo", "E_PICKLE", ["memo"], zip_bytes(b"\x80\x02h\x07."))
    add("pickle_shape_overflows", "E_PICKLE", ["shape"], zip_bytes(pickled_tensor([2**40, 2**40], [2**40, 1]), numbers))
    add("pickle_shape_too_large", "E_PICKLE", ["shape"], zip_bytes(pickled_tensor([5], [1]), numbers))
    add("pickle_begin_too_large", "E_PICKLE", ["shape"], zip_bytes(pickled_tensor([2], [1], begin=3), numbers))
    add("pickle_repeated_number", "E_PICKLE", ["shape"], zip_bytes(pickled_tensor([2**30], [0]), numbers))
    add("pickle_negative_stride", "E_PICKLE", ["shape"], zip_bytes(pickled_tensor([4], [-1]), numbers))
    add("pickle_storage_too_large", "E_PICKLE", ["numbers"], zip_bytes(pickled_tensor([4], [1], count=2**40), numbers))
    add("pickle_storage_missing", "E_PICKLE", ["numbers"], zip_bytes(pickled_tensor([4], [1])))
    complex_numbers = pickled_tensor([4], [1], storage=b"ComplexFloatStorage")
    add("pickle_complex_numbers", "E_PICKLE", ["ComplexFloatStorage"], zip_bytes(complex_numbers, numbers))
    add("zip_compressed", "E_ZIP", ["compressed"], zip_bytes(pickled_tensor([4], [1]), numbers, zipfile.ZIP_DEFLATED))
    add("zip_cut_off", "E_ZIP", ["cut off"], good[:-10])
    add("zip_without_pickle", "E_PICKLE", ["data.pkl"], zip_bytes(b"").replace(b"data.pkl", b"data.txt"))
    end = good.rindex(b"PK\x05\x06")
    add("zip_directory_beyond_file", "E_ZIP", ["parts"], good[: end + 16] + struct.pack("<I", 2**31) + good[end + 20 :])
    add("zip_fewer_entries", "E_ZIP", ["fewer"], good[: end + 10] + struct.pack("<H", 9) + good[end + 12 :])
    add("zip_of_no_zip64", "E_ZIP", ["zip64"], good[: end + 16] + struct.pack("<I", 2**32 - 1) + good[end + 20 :])


def add_others(folders):
    def add(name, by, code, mentions, files):
        folders.add(name, by, code, mentions, {"adapter_config.json": plain.config()} | files)

    def torch_bytes(tensors):
        stream = io.BytesIO()
        torch.save(tensors, stream)
        return stream.getvalue()

    norms = {"trainable_params.bin": torch_bytes({"model.norm.weight": torch.ones(48)})}
    long_lora = {"adapter_model.bin": torch_bytes(GOOD)} | norms
    add("long_lora_without_factor", "convert", "E_ROPE", ["--rope-factor"], long_lora)
    zero = {"config.json": {"rope_scaling": {"type": "linear", "factor": 0.0}}}
    add("long_lora_factor_zero", "convert", "E_ROPE", ["from 1 to 256", "found 0"], long_lora | zero)
    half = {"adapter_model.safetensors": GOOD} | norms
    add("long_lora_half_converted", "load", "E_PICKLE", ["trainable_params.bin", "slora convert"], half)
    odd = {"layers.0.attn.q_proj.lora_a.weight": torch.ones(2, 48), "layers.0.attn.q_proj.lora_b.weight": torch.ones(50, 2)}
    add("torchtune_odd_heads", "load", "E_SHAPE", ["[50, 2]"], {"adapter_0.safetensors": odd})
    unknown = {"layers.0.attn.q_norm.lora_a.weight": torch.ones(2, 48)}
    add("torchtune_unknown_module", "load", "E_UNKNOWN_TENSOR", ["q_norm"], {"adapter_0.safetensors": unknown})
    add("mlx_npz", "load", "E_FOREIGN", ["mlx-lm"], {"adapter_config.json": MLX_CONFIG, "adapters.npz": b"PK"})


def make_corpora(out):
    """Small files that are accepted, for the fuzz targets to begin with."""
    shutil.rmtree(out / "torch_file", ignore_errors=True)
    for name in ("gguf", "torch_file"):
        (out / name).mkdir(exist_ok=True)
    (out / "gguf/lora.gguf").write_bytes(gguf_bytes(out, rank=1))
    (out / "gguf/q8.gguf").write_bytes(gguf_bytes(out, rank=32, outputs=4, kind=gguf.GGMLQuantizationType.Q8_0))
    numbers = [("0", np.ones(4, np.float32).tobytes())]
    (out / "torch_file/zip.bin").write_bytes(zip_bytes(pickled_tensor([4], [1]), numbers))
    (out / "torch_file/strides.bin").write_bytes(zip_bytes(pickled_tensor([2, 2], [1, 2]), numbers))
    before = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    after = pickle.dumps(["0"], 2) + struct.pack("<q", 4) + numbers[0][1]
    (out / "torch_file/old_form.bin").write_bytes(before + pickled_tensor([4], [1]) + after)


def make(out):
    make_corpora(out.parent / "corpora")
    folders = Folders(out / "foreign_refused")
    folders.root.mkdir()
    for add in (add_mlx, add_gguf, add_pickles, add_others):
        add(folders)
