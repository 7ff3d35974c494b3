"""vLLM's place of LoRARequest."""
