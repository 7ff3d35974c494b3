"""LoRA whose training subtracts its start from the base: PiSSA and OLoRA, as saved and as PEFT converts them for the unchanged base."""

import copy
import json
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from golden_adapters import EVERY_LINEAR, write_config
from golden_families import LORA_SIZES, MAGNITUDE, Family

TARGETS = ("q_proj", "v_proj", "down_proj")


def lora(init, targets=TARGETS, **keys):
    return LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=list(targets), init_lora_weights=init, **keys)


class Converted:
    """Saved with the start that was subtracted, which makes LoRA of twice the rank."""

    def __init__(self, config):
        self.config = config
        self.start = Path(tempfile.mkdtemp()) / "start"

    def wrap(self, base):
        model = get_peft_model(base, copy.deepcopy(self.config))
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(self.start)
        return model

    def save(self, folder, spec, model, base):
        model.save_pretrained(folder, path_initial_model_for_weight_conversion=str(self.start))
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["target_modules"].sort()
        write_config(folder / "adapter_config.json", config | {"base_model_name_or_path": f"golden/{base.name}"})


PATTERNS = {"rank_pattern": {"q_proj": 7, "down_proj": 3}, "alpha_pattern": {"v_proj": 3}}
STARTS = (
    Family("pissa_raw", lora("pissa"), LORA_SIZES),
    Family("pissa_patterns", lora("pissa", EVERY_LINEAR, use_rslora=True, **PATTERNS), LORA_SIZES, edit=PATTERNS),
    Family("pissa_converted", Converted(lora("pissa")), LORA_SIZES),
    Family("olora_raw", lora("olora"), LORA_SIZES),
    Family("olora_bf16", lora("OLoRA", EVERY_LINEAR), LORA_SIZES, torch.bfloat16),
    Family("dora_pissa_raw", lora("pissa", use_dora=True), LORA_SIZES, around_one=(MAGNITUDE,)),
)
