"""One small Llama with many adapters of ranks 1 to 64, each with a prompt of its own: the batch that mixes them all."""

from pathlib import Path

import torch

import golden_adapters as adapters
import golden_models as models
import golden_specs as specs
from golden_adapters import EVERY_LINEAR, Adapter, lora

TAIL = 3  # positions whose logits are kept
BASE = specs.Model("mix32", 40, specs.llama(**specs.sizes(101, 48, 64, 6, 2), **specs.rope(10000.0)), form=4)

Q, K, V, O, GATE, UP, DOWN = EVERY_LINEAR
RANKED_TARGETS = [
    (1, EVERY_LINEAR),
    (1, (V,)),
    (2, EVERY_LINEAR),
    (2, (O, DOWN)),
    (3, EVERY_LINEAR),
    (3, (K,)),
    (4, (Q, K, V, O)),
    (4, (GATE, UP, DOWN)),
    (5, EVERY_LINEAR),
    (5, (Q, V)),
    (6, (K, O, UP)),
    (7, EVERY_LINEAR),
    (7, (DOWN,)),
    (8, EVERY_LINEAR),
    (8, (Q, V)),
    (8, (Q, K, V, O)),
    (9, (V, GATE)),
    (11, (Q, K)),
    (12, (O,)),
    (13, (K, V)),
    (15, (UP,)),
    (16, (Q, V)),
    (16, (GATE, DOWN)),
    (17, (K,)),
    (24, (V,)),
    (31, (Q,)),
    (32, (K, V)),
    (33, (O,)),
    (47, (K,)),
    (48, (V,)),
    (63, (Q,)),
    (64, (V,)),
    (64, (DOWN,)),
]

PATTERNS = {
    "rank_pattern": {"layers\\.1\\..*": 2, "q_proj": 19, "(gate|up)_proj": 5},
    "alpha_pattern": {"v_proj": 3, ".*proj": 10, "o_proj": 500},
}


def mixed_adapters():
    made = []
    for index, (rank, targets) in enumerate(RANKED_TARGETS):
        keys = {"use_rslora": True} if index % 5 == 2 else {}
        if index % 7 == 3:
            keys |= {"layers_to_transform": [index % 2], "layers_pattern": "layers"}
        dtype = torch.float16 if index % 6 == 1 else torch.bfloat16
        alpha = (rank, 2 * rank, 16, 0.5 * rank)[index % 4]
        made.append(Adapter(f"a{index:02d}_r{rank}", lora(rank, 8, targets, **keys), dtype, edit={"lora_alpha": alpha}))
    made.append(Adapter("a33_patterns", lora(8, 16, EVERY_LINEAR, **PATTERNS), torch.bfloat16, edit=PATTERNS))
    made.append(Adapter("a34_lora_bias", lora(4, 8, (Q, DOWN), lora_bias=True), torch.bfloat16))
    made.append(Adapter("a35_fp32", lora(10, 10, (Q, O))))
    return made


def make(out: Path):
    folder = out / BASE.name
    _, tensors = models.make_base(BASE, folder)
    base = models.load(folder)
    generator = torch.Generator().manual_seed(77)
    for index, spec in enumerate(mixed_adapters()):
        path = folder / "adapters" / spec.name
        length = 3 + (index * 7) % 29  # 3 to 31, all different
        ids = torch.randint(0, BASE.config.vocab_size, (length,), generator=generator).tolist()
        model = adapters.make_adapter(path, spec, BASE.name, 7000 + index, lambda: models.load(folder))
        adapters.check(spec, model, models.logits(base, ids), lambda changed, ids=ids: models.logits(changed, ids))
        results = models.outputs(model, ids, spec.name)
        models.check_bf16(spec.name, model, ids, results[f"logits.{spec.name}"])
        results[f"logits_tail.{spec.name}"] = results.pop(f"logits.{spec.name}")[-TAIL:]
        tensors |= results | {f"ids.{spec.name}": torch.tensor(ids, dtype=torch.int32)}
    models.write_expected(folder, tensors)
    print(f"{BASE.name}: {len(mixed_adapters())} adapters, {models.folder_bytes(folder):,} bytes")
