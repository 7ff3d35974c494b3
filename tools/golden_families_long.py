"""Adapters for longer texts than their base's (LongLoRA): linear RoPE with a factor, and prompts beyond the base's positions.

PEFT knows no RoPE: its adapter is put on a base that transformers makes with the factor in its config.
"""

import copy

from peft import PeftModel, get_peft_model

import golden_families as families
import golden_models as models
from golden_adapters import write_config
from golden_families import LORA_SIZES, Family
from golden_families_saved import lora


def stretched(model, factor):
    """The model, whose RoPE was the default, with linear RoPE."""
    parameters = model.config.rope_parameters
    assert parameters["rope_type"] == "default", parameters
    model.config.rope_parameters = parameters | {"rope_type": "linear", "factor": factor}
    model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config)
    return model


class Long:
    """PEFT's config for a base with this factor. `writes_model_config`: the folder has a config.json that says so."""

    def __init__(self, config, factor, writes_model_config=False):
        self.config, self.factor, self.writes_model_config = config, factor, writes_model_config

    def wrap(self, base):
        return get_peft_model(stretched(base, self.factor), copy.deepcopy(self.config))

    def load(self, folder, base):
        return PeftModel.from_pretrained(stretched(base, self.factor), folder)

    def check(self, folder, base, ids, logits):
        """Asserts that the factor is felt."""
        without = models.logits(PeftModel.from_pretrained(base, folder).eval(), ids)
        moved = (without - logits)[-families.TAIL :].abs().max().item()
        assert moved > models.FEATURE_MARGIN, (folder.name, moved)

    def save(self, folder, spec, model, base):
        families.save(folder, spec, model, base)
        if not self.writes_model_config:
            return
        config = base.config.to_dict()
        kept = {key: config[key] for key in ("model_type", "max_position_embeddings", "vocab_size")}
        scaling = {"rope_scaling": {"type": "linear", "factor": self.factor}, "rope_theta": config["rope_parameters"]["rope_theta"]}
        write_config(folder / "config.json", kept | scaling)


def factor_key(factor):
    return {"rope_scaling": {"rope_type": "linear", "factor": factor}}


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
# What LongLoRA trains. 256 positions are the base's; PEFT takes every module whose name ends with "norm".
LIKE_LONGLORA = lora(ATTENTION, r=8, modules_to_save=["embed_tokens", "norm"])
LONG = (
    Family(
        "longlora_like",
        Long(LIKE_LONGLORA, 2.0),
        LORA_SIZES | {"embed_tokens.modules_to_save": 1.0},
        edit=factor_key(2.0),
        around_one=("norm.modules_to_save",),
        length=275,
    ),
    Family("longlora_model_config", Long(lora(ATTENTION), 4.0, writes_model_config=True), LORA_SIZES, length=19),
    # As many tokens as ceil(700 / 256) = 3 times the base's.
    Family("longlora_context_length", Long(lora(("q_proj", "down_proj")), 3.0), LORA_SIZES, edit={"context_length": 700}, length=31),
)
