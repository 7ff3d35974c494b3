#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a PEFT IA3 file by module. `ia3_l` is [out, 1] and multiplies the outputs of a module, its bias too, or is [1, in]
// and multiplies the inputs of a feed-forward module. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_SHAPE,
// E_PATTERN.
[[nodiscard]] Result<AdapterModules> read_ia3_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                      const FamilyContext& context);

}  // namespace slora
