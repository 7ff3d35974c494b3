#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a VB-LoRA file by module: LoRA whose A and B are made of vectors of one bank. E_EMPTY, E_DTYPE, E_FOREIGN,
// E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_INDEX.
[[nodiscard]] Result<AdapterModules> read_vblora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                         const FamilyContext& context);

}  // namespace slora
