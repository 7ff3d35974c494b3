#!/usr/bin/env python3
"""Writes tests/golden/configs/peft-VERSION.json: the adapter_config.json that PEFT's LoraConfig saves, one for each given wheel.

Reads the dataclasses' fields and defaults from the source, so that no version has to be importable:
  pip download --no-deps -d WHEELS peft==0.3.0 ...; tools/golden_peft_configs.py WHEELS tests/golden/configs
"""
import ast
import json
import pathlib
import re
import sys
import zipfile

GIVEN = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"],
         "base_model_name_or_path": "tiny/base", "inference_mode": True}
UNSAVED = {"runtime_config"}  # LoraConfig.to_dict() removes it


def default_of(node):
    """The JSON value that a field is saved with; a required field has none."""
    if node is None:
        return None
    if isinstance(node, ast.Call):
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if "default" in keywords:
            return default_of(keywords["default"])
        factory = keywords.get("default_factory")
        return {"dict": {}, "list": []}.get(getattr(factory, "id", ""), None)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def fields_of(source, name):
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {line.target.id: default_of(line.value) for line in node.body if isinstance(line, ast.AnnAssign)}
    raise ValueError(f"no class {name}")


def saved_config(wheel):
    files = zipfile.ZipFile(wheel)
    read = lambda *paths: next(files.read(path).decode() for path in paths if path in files.namelist())
    version = re.search(r"peft-([\d.]+)-", wheel.name).group(1)
    common = read("peft/config.py", "peft/utils/config.py")
    config = fields_of(common, "PeftConfigMixin") | fields_of(common, "PeftConfig")
    config |= fields_of(read("peft/tuners/lora/config.py", "peft/tuners/lora.py"), "LoraConfig")
    if "peft_version" in config:
        config["peft_version"] = version
    config |= GIVEN
    return version, {key: config[key] for key in sorted(config) if key not in UNSAVED}


def main():
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(pathlib.Path(sys.argv[1]).glob("peft-*.whl")):
        version, config = saved_config(wheel)
        (out / f"peft-{version}.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
