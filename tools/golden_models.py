"""Tiny random models of every family and what transformers computes from them in fp32.

A model folder is what save_pretrained writes; `config.json` is then kept as transformers 5 writes it or turned into the
form of transformers 4, and `config_other_form.json` holds the other of the two. `expected.safetensors` holds prompts and
logits, computed from the weights as they are rounded in the file.
"""

import copy
import json
import shutil
import tempfile
import types
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import golden_adapters
from golden_specs import MODELS
from golden_specs_further import FURTHER_MODELS

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PROMPT_LENGTHS = (1, 7, 19, 40)
HIDDEN_PROMPT = 1  # the prompt whose hidden states are kept too
FEATURE_MARGIN = 0.02  # what a feature must move the logits by, at least; tests ask for 1e-4
GREEDY_TOKENS = 8
IMAGE_PARTS = ("vision_tower", "multi_modal_projector")  # which no text reaches
ROUNDING_MARGIN = 2e-5  # what fp32 may differ from fp64
BF16_MARGIN = 1.2e-2  # relative error of a position when products take bf16; tests allow 2e-2


def neutral_gain(model):
    """What a norm's weight is when it changes nothing: Gemma adds 1 to it."""
    return 0.0 if model.config.model_type.startswith("gemma") else 1.0


def randomise(model, seed):
    """Every tensor random: matrices keep a row's size near one, gains are near one, biases are felt."""
    generator = torch.Generator().manual_seed(seed)
    tied = model.config.get_text_config().tie_word_embeddings
    embedding_scale = 0.35 if tied else 1.0
    if hasattr(model.get_input_embeddings(), "embed_scale"):  # the residual begins as large as without the factor
        embedding_scale = 1.5 / model.config.get_text_config().hidden_size ** 0.5
    softens = any("post_feedforward_layernorm" in name for name, _ in model.named_parameters())  # norms undo what makes branches soft
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            values = torch.randn(tensor.shape, generator=generator)
            if "norm" in name:
                tensor.copy_(neutral_gain(model) + 0.25 * values - (0.6 if softens and ".post_" in name else 0.0))
            elif tensor.dim() == 1:
                tensor.copy_(0.3 * values)
            elif "embed_tokens" in name:
                tensor.copy_(values * embedding_scale)
            else:
                branch_end = ".o_proj" in name or ".down_proj" in name  # softer, as in trained networks: less rounding is passed on
                tensor.copy_(values * (0.5 if branch_end else 1.0) / tensor.shape[-1] ** 0.5)


def rope4(spec, parameters):
    """The RoPE keys of transformers 4; of families with two kinds of layers, the full layers' parameters are the scaled ones."""
    if "full_attention" not in parameters:
        kind = parameters.pop("rope_type")
        theta = parameters.pop("rope_theta")
        return {"rope_theta": theta, "rope_scaling": None if kind == "default" else {spec.rope_key: kind} | parameters}
    keys = rope4(spec, parameters["full_attention"])
    if spec.window_theta_key:
        keys[spec.window_theta_key] = parameters["sliding_attention"]["rope_theta"]
    return keys


def form4(spec, config):
    """The keys of a transformers 5 config as transformers 4 wrote them."""
    config = copy.deepcopy(config)
    if "text_config" in config:
        config["text_config"] = form4(spec, config["text_config"])
        config["torch_dtype"] = config.pop("dtype")
        return config
    config |= rope4(spec, config.pop("rope_parameters"))
    if "dtype" in config:  # of a text model the whole's counts
        config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config.get("head_dim") in (None, config["hidden_size"] // config["num_attention_heads"]):
        config.pop("head_dim", None)
    config["transformers_version"] = "4.40.0"
    return {key: value for key, value in config.items() if key not in spec.left_out} | spec.old_keys


def write_config(path, config):
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def with_stored_scale(model, folder):
    """Gemma rounds the factor of its embedding to the type of the weights, which is fp32 here and another type where they are stored."""
    config = json.loads((Path(folder) / "config.json").read_text())
    embedding = model.get_input_embeddings()
    if hasattr(embedding, "embed_scale"):
        stored = getattr(torch, config.get("dtype") or config.get("torch_dtype"))
        embedding.embed_scale = embedding.embed_scale.to(stored).float()
    return model


def with_plain_experts(model):
    """Experts one after the other: their grouped products have no fp64."""
    if any(type(module).__name__.endswith("Experts") for module in model.modules()):
        model.set_experts_implementation("eager")
    return model


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return with_plain_experts(with_stored_scale(model, folder)).eval()


def load_changed(folder, change):
    """The model under a changed config: weights are loaded again, since rotary tables are made at construction."""
    config = transformers.AutoConfig.from_pretrained(folder)
    change(config)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager")
    return with_plain_experts(with_stored_scale(model, folder)).eval()


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model, ids):
    """The likeliest tokens one after the other [GREEDY_TOKENS], and by how much each beat the second."""
    tokens, margins = [], []
    for _ in range(GREEDY_TOKENS):
        best = torch.topk(logits(model, ids + tokens)[-1], 2)
        tokens.append(best.indices[0].item())
        margins.append(best.values[0] - best.values[1])
    return torch.tensor(tokens, dtype=torch.int32), torch.stack(margins)


def outputs(model, ids, suffix):
    """The tensors of one prompt under one model."""
    tokens, margins = greedy(model, ids)
    return {f"logits.{suffix}": logits(model, ids), f"greedy.{suffix}": tokens, f"margin.{suffix}": margins}


def prompts(vocab, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    return [torch.randint(0, vocab, (length,), generator=generator).tolist() for length in PROMPT_LENGTHS]


def hidden_states(model, ids):
    """Outputs of the embedding and of every layer, before the last norm."""
    states = []
    decoder = model.get_decoder()
    modules = [decoder.embed_tokens, *decoder.layers]
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out: states.append((out[0] if isinstance(out, tuple) else out).detach()))
        for module in modules
    ]
    logits(model, ids)
    for hook in hooks:
        hook.remove()
    return [state.reshape(len(ids), -1).clone() for state in states]


def bf16(tensor):
    return tensor.bfloat16().float()


def bf16_experts(self, hidden, chosen, shares):
    """What transformers computes of a mixture of experts, with what a bf16 backend rounds."""
    out = torch.zeros_like(hidden)
    for expert in chosen.unique().tolist():
        rows, places = torch.where(chosen == expert)
        gate, up = torch.nn.functional.linear(bf16(hidden[rows]), bf16(self.gate_up_proj[expert])).chunk(2, dim=-1)
        given = torch.nn.functional.linear(bf16(self.act_fn(gate) * up), bf16(self.down_proj[expert]))
        out.index_add_(0, rows, given * shares[rows, places, None])
    return out


def bf16_products(model):
    """Makes the model round what a bf16 backend rounds: weights, inputs of products, keys and values."""
    for name, module in model.named_modules():
        if type(module).__name__.endswith("Experts"):
            module.forward = types.MethodType(bf16_experts, module)
        if isinstance(module, torch.nn.Linear) or type(module).__name__.endswith("TopKRouter"):
            module.weight.data = bf16(module.weight.data)
            module.register_forward_pre_hook(lambda _module, inputs: (bf16(inputs[0]),))
        if name.endswith((".k_proj", ".v_proj")):
            module.register_forward_hook(lambda _module, _inputs, out: bf16(out))
    return model


def check_bf16(name, model, ids, expected):
    found = logits(bf16_products(model), ids)
    error = ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max().item()
    assert error < BF16_MARGIN, (name, "bf16 products", error)


def check_model(spec, folder, model, batch, expected):
    longest = batch[-1]
    exact = logits(load(folder).double(), longest)
    difference = (exact - expected[-1].double()).abs().max().item()
    assert difference < ROUNDING_MARGIN, (spec.name, "fp32 against fp64", difference)
    check_bf16(spec.name, load(folder), longest, expected[-1])
    for change in spec.features:
        moved = (logits(load_changed(folder, change), longest) - expected[-1]).abs().max().item()
        assert moved > FEATURE_MARGIN, (spec.name, change.__name__, moved)
    for name, tensor in model.named_parameters():  # every tensor matters
        if any(part in name for part in IMAGE_PARTS):
            continue
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.fill_(neutral_gain(model) if "norm" in name else 0.0)
        moved = (logits(model, longest) - expected[-1]).abs().max().item()
        with torch.no_grad():
            tensor.copy_(kept)
        # A key bias alone adds the same to every score of a query but for the rotation: it moves little.
        assert moved > 1e-3, (spec.name, name, moved)


def check_other_form(spec, folder, longest, expected):
    with tempfile.TemporaryDirectory() as scratch:
        for path in folder.glob("model*"):
            shutil.copy(path, scratch)
        shutil.copy(folder / "config_other_form.json", Path(scratch) / "config.json")
        assert torch.equal(logits(load(scratch), longest), expected), (spec.name, "the other form of the config")


def make_base(spec, folder):
    """Writes the folder and returns the tensors of expected.safetensors."""
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(spec.seed)
    model = AutoModelForCausalLM.from_config(spec.config).float()
    randomise(model, spec.seed)
    if spec.prepare:
        spec.prepare(model, spec.seed)
    shard = {"max_shard_size": spec.shard_bytes} if spec.shard_bytes else {}
    model.to(spec.dtype).save_pretrained(folder, **shard)
    config5 = json.loads((folder / "config.json").read_text())
    config4 = form4(spec, config5)
    write_config(folder / "config.json", config4 if spec.form == 4 else config5)
    write_config(folder / "config_other_form.json", config5 if spec.form == 4 else config4)

    model = load(folder)
    batch = prompts(spec.config.get_text_config().vocab_size, spec.seed)
    tensors = {}
    for index, ids in enumerate(batch):
        tensors[f"ids.{index}"] = torch.tensor(ids, dtype=torch.int32)
        tensors |= outputs(model, ids, str(index))
    for layer, state in enumerate(hidden_states(model, batch[HIDDEN_PROMPT])):
        tensors[f"hidden.{layer}.{HIDDEN_PROMPT}"] = state
    expected = [tensors[f"logits.{index}"] for index in range(len(batch))]
    check_model(spec, folder, model, batch, expected)
    check_other_form(spec, folder, batch[-1], expected[-1])
    if spec.shard_bytes:
        assert (folder / "model.safetensors.index.json").exists(), spec.name
    return batch, tensors


def write_expected(folder, tensors):
    save_file({name: tensor.contiguous() for name, tensor in sorted(tensors.items())}, folder / "expected.safetensors")


def folder_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def add_adapters(spec, folder, batch, tensors):
    base = load(folder)
    for index, adapter in enumerate(spec.adapters):
        path = folder / "adapters" / adapter.name
        model = golden_adapters.make_adapter(path, adapter, spec.name, 100 * spec.seed + index, lambda: load(folder))
        for prompt in golden_adapters.ADAPTER_PROMPTS:
            tensors |= outputs(model, batch[prompt], f"{adapter.name}.{prompt}")
        longest = batch[golden_adapters.ADAPTER_PROMPTS[-1]]
        golden_adapters.check(adapter, model, logits(base, longest), lambda changed, ids=longest: logits(changed, ids))
        check_bf16(adapter.name, model, longest, tensors[f"logits.{adapter.name}.{golden_adapters.ADAPTER_PROMPTS[-1]}"])
        golden_adapters.finish(path, adapter)


def make(out: Path):
    for spec in (*MODELS, *FURTHER_MODELS):
        folder = out / spec.name
        batch, tensors = make_base(spec, folder)
        base_bytes = folder_bytes(folder)
        add_adapters(spec, folder, batch, tensors)
        write_expected(folder, tensors)
        print(f"{spec.name}: {base_bytes:,} bytes, with {len(spec.adapters)} adapters {folder_bytes(folder):,}")
