"""Several adapters of one base model in one batch, from Python (docs/python.md):

    python examples/seed_example.py demo/model demo/adapters
"""

import sys

from slora import LoRAConfig, SLoRAServer

base_model, adapters = sys.argv[1:3]

# Initialize the server with a base model.
server = SLoRAServer(base_model, device="cpu")

# Load several adapters. Their settings are read from their folders; what is given here is checked.
configs = [
    LoRAConfig(adapter_path=f"{adapters}/shout", r=8),
    LoRAConfig(adapter_path=f"{adapters}/pirate", r=6, target_modules=["gate_proj", "up_proj", "down_proj"]),
    LoRAConfig(adapter_path=f"{adapters}/mood", r=2, target_modules=["q_proj", "v_proj"]),
]
server.load_adapters(configs, memory_pool_size=256)

# One batch with a different adapter for each input. Any tokenizer will do: this one is the engine's own.
tokenizer = server.tokenizer
sentence = "The queen found a rusty key."
inputs = tokenizer([f"<|user|>{sentence}<|end|><|assistant|>"] * 3, padding=True)
outputs = server.generate(
    inputs,
    adapter_ids=[0, 1, 2],
    max_length=100,
    batch_size=32,
    use_unified_paging=True,
)
for output in outputs:
    print(tokenizer.decode(output, skip_special_tokens=True))

# Free the adapters' memory.
server.unload_adapters()
