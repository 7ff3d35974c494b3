#pragma once
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/json.h"

namespace slora {

// What a config says of longer texts than the base's (LongLoRA): "rope_scaling", and "context_length" or "max_position_embeddings". PEFT
// has none of these keys. E_ROPE
[[nodiscard]] Status take_rope(AdapterConfig& adapter, const Json& config);

}  // namespace slora
