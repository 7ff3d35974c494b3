#pragma once
#include <cstdint>
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Ranks of a module of HiRA or FLoRA that are served: each costs another product with the base's weight for every token.
inline constexpr std::int64_t kHadamardRankMax = 32;

// Groups the tensors of a PEFT HiRA file by module, y = W x + (W o (B A)) x, or of a FLoRA file as docs/adapters.md describes it,
// y = scale (W o (B A)) x, where o multiplies element by element. FLoRA of rank 1 is one gain for the inputs and one for the outputs; with
// more ranks, an input gain of zeros takes away the base's own product. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION,
// E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<AdapterModules> read_hira_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                       const FamilyContext& context);
[[nodiscard]] Result<AdapterModules> read_flora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                        const FamilyContext& context);

}  // namespace slora
