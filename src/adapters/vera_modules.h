#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Groups the tensors of a PEFT VeRA file by module: y = W x + lambda_b * B (lambda_d * (A x)), where all modules share A [rank, in of the
// widest] and B [out of the longest, rank], of which each uses the leading columns and rows. They are in the file or, with save_projection
// = false, random numbers of the key. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK,
// E_PROJECTION.
[[nodiscard]] Result<AdapterModules> read_vera_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                       const FamilyContext& context);

}  // namespace slora
