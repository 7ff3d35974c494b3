"""Weighted sums of the adapters of mix32, and adapters that act from their invocation tokens on (aLoRA), as PEFT computes them.

Writes OUT/mix32/blends.json and OUT/mix32/activated. In fp32, from the weights as they are rounded in the files.
"""

import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

import golden_adapters as adapters
import golden_models as models

BLENDS = [
    [("a13_r8", 0.5), ("a02_r2", 0.5)],
    [("a11_r7", 1.0), ("a33_patterns", -0.7), ("a31_r64", 0.25)],
    [("a34_lora_bias", 1.5)],
    [("a34_lora_bias", 0.5), ("a35_fp32", 2.0), ("a00_r1", 1.0), ("a24_r24", -1.0)],
]
INVOCATION = [71, 5, 71]
ACTIVATED = {
    "attention": {"r": 6, "lora_alpha": 12, "target_modules": ["q_proj", "k_proj", "v_proj"]},
    "every": {"r": 3, "lora_alpha": 3, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]},
}


def add_blend(model, folder, blend):
    """Hooks every linear module that a component changes; each delta is computed by PEFT's own layers."""
    for name, weight in blend:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed = PeftModel.from_pretrained(models.load(folder), folder / "adapters" / name).eval()
        for path, module in changed.base_model.model.named_modules():
            if not hasattr(module, "lora_A") or "default" not in module.lora_A:
                continue

            def add(_module, inputs, out, module=module, weight=weight):
                delta = module.lora_B["default"](module.lora_A["default"](inputs[0])) * module.scaling["default"]
                return out + weight * delta

            model.get_submodule(path).register_forward_hook(add)
    return model


def scores(logits, ids):
    """The log-probability of every token of the prompt but the first."""
    return torch.log_softmax(logits.double(), -1)[range(len(ids) - 1), ids[1:]].tolist()


def make_activated(folder):
    made = {}
    for index, (name, keys) in enumerate(ACTIVATED.items()):
        path = folder / "activated" / name
        shutil.rmtree(path, ignore_errors=True)
        config = LoraConfig(task_type="CAUSAL_LM", alora_invocation_tokens=INVOCATION, **keys)
        model = get_peft_model(models.load(folder), config)
        adapters.randomise(model, 9100 + index)
        model.save_pretrained(path)
        (path / "README.md").unlink(missing_ok=True)
        written = json.loads((path / "adapter_config.json").read_text())
        written["base_model_name_or_path"] = "mix32"
        (path / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
        made[name] = PeftModel.from_pretrained(models.load(folder), path).eval()
    return made


def activated_prompts(generator):
    draw = lambda count: [token for token in torch.randint(1, 70, (count,), generator=generator).tolist()]
    yield "in the middle", draw(9) + INVOCATION + draw(4)
    yield "twice", draw(5) + INVOCATION + draw(6) + INVOCATION + draw(2)
    yield "overlapping", draw(3) + [71, 5, 71, 5, 71] + draw(3)
    yield "at the start", INVOCATION + draw(5)
    yield "at the end", draw(14) + INVOCATION
    yield "only its beginning", draw(6) + INVOCATION[:2] + draw(4)
    yield "nowhere", draw(11)
    yield "far", draw(40) + INVOCATION + draw(17)


def generated(model, ids):
    with torch.no_grad():
        out = model.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
            max_new_tokens=models.GREEDY_TOKENS, min_new_tokens=models.GREEDY_TOKENS, eos_token_id=None, pad_token_id=0,
            return_dict_in_generate=True, output_logits=True)
    best = [torch.topk(step[0], 2) for step in out.logits]
    return [top.indices[0].item() for top in best], [(top.values[0] - top.values[1]).item() for top in best]


def make(out: Path):
    folder = out / "mix32"
    base = models.load(folder)
    generator = torch.Generator().manual_seed(91)
    blends = []
    for blend in BLENDS:
        model = add_blend(models.load(folder), folder, blend)
        ids = torch.randint(0, 101, (21,), generator=generator).tolist()
        logits = models.logits(model, ids)
        assert (logits - models.logits(base, ids)).abs().max() > models.FEATURE_MARGIN
        tokens, margins = models.greedy(model, ids)
        blends.append({"components": [{"name": name, "weight": weight} for name, weight in blend], "ids": ids,
                       "logprobs": scores(logits, ids), "greedy": tokens.tolist(), "margins": margins.tolist()})
    activated = []
    for name, model in make_activated(folder).items():
        for where, ids in activated_prompts(generator):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0]
            plain = models.logits(base, ids)
            begin = max((i for i in range(len(ids)) if ids[i:i + 3] == INVOCATION), default=len(ids))
            assert (logits[:begin] - plain[:begin]).abs().max() < 1e-5 if begin else True
            if begin < len(ids):
                assert (logits[begin:] - plain[begin:]).abs().max() > models.FEATURE_MARGIN
            tokens, margins = generated(model, ids)
            activated.append({"adapter": name, "where": where, "ids": ids, "begin": begin, "logprobs": scores(logits, ids),
                              "greedy": tokens, "margins": margins})
    text = json.dumps({"blends": blends, "activated": activated}, indent=1)
    (folder / "blends.json").write_text(text + "\n")
    print(f"blends: {len(blends)} blends, {len(activated)} prompts of activated adapters")
