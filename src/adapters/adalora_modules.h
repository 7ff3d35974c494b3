#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of an AdaLoRA file by module: LoRA whose A has the singular values E folded in. Modules that training pruned to rank 0
// change nothing, and have no parts. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE.
[[nodiscard]] Result<AdapterModules> read_adalora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                          const FamilyContext& context);

}  // namespace slora
