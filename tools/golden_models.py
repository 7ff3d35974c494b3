"""Tiny random models of every family and what transformers computes from them in fp32.

A model folder is what save_pretrained writes; `config.json` is then kept as transformers 5 writes it or turned into the
form of transformers 4, and `config_other_form.json` holds the other of the two. `expected.safetensors` holds prompts and
logits, computed from the weights as they are rounded in the file.
"""

import copy
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

import golden_adapters

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PROMPT_LENGTHS = (1, 7, 19, 40)
HIDDEN_PROMPT = 1  # the prompt whose hidden states are kept too
FEATURE_MARGIN = 0.02  # what a feature must move the logits by, at least; tests ask for 1e-4
GREEDY_TOKENS = 8
ROUNDING_MARGIN = 2e-5  # what fp32 may differ from fp64
BF16_MARGIN = 1.2e-2  # relative error of a position when products take bf16; tests allow 2e-2


@dataclass
class Model:
    name: str
    seed: int
    config: transformers.PreTrainedConfig
    dtype: torch.dtype = torch.bfloat16
    form: int = 5  # of config.json: as transformers 4 or 5 writes it
    rope_key: str = "rope_type"  # in form 4; "type" before transformers 4.43
    old_keys: dict = field(default_factory=dict)  # further keys of form 4
    left_out: tuple = ()  # keys that form 4 leaves to their defaults
    shard_bytes: int | None = None
    features: tuple = ()  # config changes that must change the logits
    adapters: tuple = ()


def llama(**keys):
    return LlamaConfig(**({"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 256} | keys))


def mistral(**keys):
    return MistralConfig(**({"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 256} | keys))


def qwen2(**keys):
    return Qwen2Config(**({"num_hidden_layers": 2, "max_position_embeddings": 256} | keys))


def qwen3(**keys):
    return Qwen3Config(**({"num_hidden_layers": 2, "max_position_embeddings": 256} | keys))


def sizes(vocab, hidden, intermediate, heads, kv_heads):
    return {"vocab_size": vocab, "hidden_size": hidden, "intermediate_size": intermediate, "num_attention_heads": heads, "num_key_value_heads": kv_heads}


def rope(theta, **scaling):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta} | scaling}


def plain_rope(config):
    config.rope_parameters = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}


def no_window(config):
    config.sliding_window = None
    config.layer_types = ["full_attention"] * config.num_hidden_layers


def window_everywhere(config):
    config.layer_types = ["sliding_attention"] * config.num_hidden_layers


def other_theta(config):
    config.rope_parameters["rope_theta"] *= 3.0


def without(key):
    def change(config):
        del config.rope_parameters[key]
    change.__name__ = f"without_{key}"
    return change


LLAMA3_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

MODELS = [
    Model("llama2_mha", 1, llama(**sizes(97, 40, 56, 5, 5), **rope(10000.0)), torch.float32, form=4, features=(other_theta,),
          adapters=golden_adapters.LLAMA),
    Model("qwen2_bias", 2, qwen2(**sizes(101, 56, 72, 7, 1), **rope(1000000.0), tie_word_embeddings=True, rms_norm_eps=1e-6), form=4,
          old_keys={"use_sliding_window": False, "sliding_window": 6, "max_window_layers": 1}, features=(other_theta,),
          adapters=golden_adapters.QWEN2),
    Model("qwen3_norms", 3, qwen3(**sizes(103, 48, 80, 6, 2), **rope(1000000.0), head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6),
          features=(other_theta,), adapters=golden_adapters.QWEN3),
    Model("mistral_sliding", 4, mistral(**sizes(107, 48, 80, 6, 2), **rope(10000.0), sliding_window=8), form=4, features=(no_window, other_theta),
          adapters=golden_adapters.MISTRAL),
    Model("llama3_rope", 5, llama(**sizes(113, 64, 88, 4, 2), **rope(500000.0, **LLAMA3_SCALING), tie_word_embeddings=True), features=(plain_rope,),
          adapters=golden_adapters.LLAMA3),
    Model("llama_linear_rope", 6, llama(**sizes(97, 60, 72, 5, 1), **rope(10000.0, rope_type="linear", factor=4.0)), torch.float16, form=4, rope_key="type",
          features=(plain_rope,)),
    Model("llama_dynamic_rope", 7, llama(**sizes(97, 48, 64, 4, 4), **rope(10000.0, rope_type="dynamic", factor=2.0), max_position_embeddings=48), form=4,
          left_out=("num_key_value_heads", "attention_bias", "mlp_bias", "attention_dropout", "tie_word_embeddings", "head_dim", "pad_token_id")),
    Model("mistral_full", 8, mistral(**sizes(109, 48, 72, 6, 3), **rope(1000000.0), sliding_window=None, head_dim=16), torch.float16),
    Model("qwen2_window", 9, qwen2(**sizes(97, 48, 64, 3, 1), **rope(10000.0), num_hidden_layers=3, use_sliding_window=True, sliding_window=6,
                                  max_window_layers=1), features=(no_window, window_everywhere)),
    Model("qwen3_yarn", 10, qwen3(**sizes(97, 48, 64, 4, 2), **rope(1000.0, **YARN), head_dim=20), features=(plain_rope,)),
    Model("qwen3_yarn_explicit", 11, qwen3(**sizes(97, 48, 64, 4, 2), **rope(1000.0, **YARN, beta_fast=8.0, beta_slow=0.5, truncate=False,
                                                                             attention_factor=1.5), head_dim=20),
          form=4, features=(plain_rope, *map(without, ("beta_fast", "beta_slow", "truncate", "attention_factor")))),
    Model("llama_yarn_mscale", 12, llama(**sizes(97, 48, 64, 4, 2), **rope(1000.0, **YARN, mscale=1.0, mscale_all_dim=0.5)),
          features=(plain_rope, without("mscale"), without("mscale_all_dim"))),
    Model("llama_bias", 13, llama(**sizes(97, 48, 64, 4, 2), **rope(10000.0), attention_bias=True, mlp_bias=True), form=4,
          adapters=golden_adapters.LLAMA_BIAS),
    Model("llama_sharded", 14, llama(**sizes(97, 48, 64, 4, 2), **rope(10000.0)), form=4, shard_bytes=30000),
]


def randomise(model, seed):
    """Every tensor random: matrices keep a row's size near one, gains are near one, biases are felt."""
    generator = torch.Generator().manual_seed(seed)
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            values = torch.randn(tensor.shape, generator=generator)
            if "norm" in name:
                tensor.copy_(1.0 + 0.25 * values)
            elif tensor.dim() == 1:
                tensor.copy_(0.3 * values)
            elif "embed_tokens" in name:
                tensor.copy_(values * (0.35 if tied else 1.0))
            else:
                branch_end = ".o_proj" in name or ".down_proj" in name  # softer, as in trained networks: less rounding is passed on
                tensor.copy_(values * (0.5 if branch_end else 1.0) / tensor.shape[1] ** 0.5)


def form4(spec, config):
    """The keys of a transformers 5 config as transformers 4 wrote them."""
    config = copy.deepcopy(config)
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {spec.rope_key: kind} | parameters
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config.get("head_dim") in (None, config["hidden_size"] // config["num_attention_heads"]):
        config.pop("head_dim", None)
    config["transformers_version"] = "4.40.0"
    return {key: value for key, value in config.items() if key not in spec.left_out} | spec.old_keys


def write_config(path, config):
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def load_changed(folder, change):
    """The model under a changed config: weights are loaded again, since rotary tables are made at construction."""
    config = transformers.AutoConfig.from_pretrained(folder)
    change(config)
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


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
    modules = [model.model.embed_tokens, *model.model.layers]
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out: states.append((out[0] if isinstance(out, tuple) else out).detach()))
        for module in modules
    ]
    logits(model, ids)
    for hook in hooks:
        hook.remove()
    return [state.reshape(len(ids), -1).clone() for state in states]


def bf16_products(model):
    """Makes the model round what a bf16 backend rounds: weights, inputs of products, keys and values."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.bfloat16().float()
            module.register_forward_pre_hook(lambda _module, inputs: (inputs[0].bfloat16().float(),))
        if name.endswith((".k_proj", ".v_proj")):
            module.register_forward_hook(lambda _module, _inputs, out: out.bfloat16().float())
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
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.copy_(torch.ones_like(tensor) if "norm" in name else torch.zeros_like(tensor))
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
    shard = {"max_shard_size": spec.shard_bytes} if spec.shard_bytes else {}
    model.to(spec.dtype).save_pretrained(folder, **shard)
    config5 = json.loads((folder / "config.json").read_text())
    config4 = form4(spec, config5)
    write_config(folder / "config.json", config4 if spec.form == 4 else config5)
    write_config(folder / "config_other_form.json", config5 if spec.form == 4 else config4)

    model = load(folder)
    batch = prompts(spec.config.vocab_size, spec.seed)
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
    for spec in MODELS:
        folder = out / spec.name
        batch, tensors = make_base(spec, folder)
        base_bytes = folder_bytes(folder)
        add_adapters(spec, folder, batch, tensors)
        write_expected(folder, tensors)
        print(f"{spec.name}: {base_bytes:,} bytes, with {len(spec.adapters)} adapters {folder_bytes(folder):,}")
