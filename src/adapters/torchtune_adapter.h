#pragma once
#include <vector>

#include "adapters/peft_form.h"
#include "base/result.h"
#include "formats/json.h"
#include "formats/module_table.h"

namespace slora {

// Whether these are tensors of torchtune: "layers.0.attn.q_proj.lora_a.weight".
[[nodiscard]] bool is_torchtune_adapter(const std::vector<ReadableTensor>& tensors);

// An adapter that torchtune trained, from its tensors and the adapter_config.json that torchtune writes with them. Its outputs of q and k
// of Llama and Mistral have Meta's order. `base` as in in_order_of_base(). E_BAD_JSON, E_SHAPE, E_UNKNOWN_TENSOR.
[[nodiscard]] Result<PeftForm> convert_torchtune_adapter(std::vector<ReadableTensor> tensors, Json config, const ModuleTable* base);

}  // namespace slora
