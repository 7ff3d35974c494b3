"""Folders that ask for longer texts than the base's (LongLoRA) in a way that must be refused."""

import json

LINEAR = {"rope_type": "linear", "factor": 2.0}
TRAINABLE = {"trainable_params.bin": b"\x80\x02}q\x00."}  # a pickle


def scaled(**changes):
    """The config's changes; a value of `...` leaves the key out."""
    return {"rope_scaling": {key: value for key, value in (LINEAR | changes).items() if value is not ...}}


def model_config(**scaling):
    keys = {"max_position_embeddings": 256, "model_type": "llama", "rope_scaling": scaling, "rope_theta": 10000.0}
    return {"config.json": (json.dumps(keys, indent=2) + "\n").encode()}


def faults():
    """name -> (changes of the config, further files, code, mentions)"""
    made = {
        "type_yarn": scaled(rope_type="yarn"),
        "type_missing": scaled(rope_type=...),
        "factor_missing": scaled(factor=...),
        "factor_zero": scaled(factor=0),
        "factor_negative": scaled(factor=-2.0),
        "factor_below_one": scaled(factor=0.5),
        "factor_too_large": scaled(factor=1e6),
        "factor_text": scaled(factor="2"),
        "unknown_key": scaled(attention_factor=2.0),
        "no_object": {"rope_scaling": "linear"},
    }
    mentions = {"type_yarn": "yarn", "factor_below_one": "0.5", "unknown_key": "attention_factor"}
    made = {name: (changes, {}, "E_ROPE", ["rope_scaling", mentions.get(name, "linear" if "type" in name else "")]) for name, changes in made.items()}
    alora = {"alora_invocation_tokens": [3, 4]}
    return made | {
        "length_zero": ({"context_length": 0}, {}, "E_ROPE", ["context_length", "0"]),
        "length_fraction": ({"context_length": 512.5}, {}, "E_ROPE", ["context_length", "512.5"]),
        "lengths_differ": ({"context_length": 512, "max_position_embeddings": 513}, {}, "E_ROPE", ["max_position_embeddings", "512", "513"]),
        "length_beyond_factor": (scaled() | {"context_length": 513}, {}, "E_ROPE", ["context_length", "512", "513"]),
        "length_beyond_any_factor": ({"context_length": 256 * 256 + 1}, {}, "E_ROPE", ["context_length", "65537"]),
        "alora": (scaled() | alora, {}, "E_ROPE", ["alora_invocation_tokens"]),
        "model_config_yarn": ({}, model_config(type="yarn", factor=2.0), "E_ROPE", ["config.json", "yarn"]),
        "model_config_unknown_type": ({}, model_config(type="longrope", factor=2.0), "E_ROPE", ["config.json", "longrope"]),
        "model_config_no_factor": ({}, model_config(type="linear"), "E_ROPE", ["config.json", "factor"]),
        "model_config_factor_below_one": ({}, model_config(type="linear", factor=0.5), "E_ROPE", ["config.json", "0.5"]),
        "model_config_cut_off": ({}, {"config.json": b'{"rope_scaling": {'}, "E_BAD_JSON", ["config.json"]),
        "longlora_without_factor": ({}, TRAINABLE, "E_PICKLE", ["trainable_params.bin", "slora convert"]),
        "longlora_pickle": (scaled(), TRAINABLE, "E_PICKLE", ["trainable_params.bin", "slora convert"]),
    }
