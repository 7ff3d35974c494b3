#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a LoHa file by module: LoRA of the square of its rank. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION,
// E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<AdapterModules> read_loha_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                       const FamilyContext& context);

}  // namespace slora
