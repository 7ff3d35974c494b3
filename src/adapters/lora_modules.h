#pragma once
#include <cstdint>
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a PEFT LoRA file by module, from config and header alone. An adapter with a tensor that is no known part is
// refused: E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<AdapterModules> read_lora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                       const FamilyContext& context);

}  // namespace slora
