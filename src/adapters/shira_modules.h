#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a PEFT SHiRA file by module: y = (W + S) x + b, where S has the values of shira_weight at the places of
// shira_indices. PEFT makes up random places where the file has none; here such a file is refused. The places are read where the base is
// known. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_INDEX, E_READ.
[[nodiscard]] Result<AdapterModules> read_shira_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                        const FamilyContext& context);

}  // namespace slora
