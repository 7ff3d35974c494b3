#pragma once
#include "adapters/peft_form.h"
#include "base/result.h"
#include "formats/file.h"
#include "formats/module_table.h"

namespace slora {

// Reads a LoRA adapter of llama.cpp, a GGUF file as convert_lora_to_gguf.py writes them. Its outputs of q and k of Llama and Mistral have
// Meta's order. `base` as in in_order_of_base(). E_FOREIGN, E_GGUF, E_DTYPE, E_SCALE, E_SHAPE, E_WRONG_BASE, E_UNKNOWN_TENSOR.
[[nodiscard]] Result<PeftForm> read_gguf_adapter(ReadOnlyFile file, const ModuleTable* base);

}  // namespace slora
