#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Families that only replace weights of the base. Each groups the tensors of a PEFT file by module; E_EMPTY, E_DTYPE, E_FOREIGN,
// E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE.

// LN_TUNING: trained copies of modules, which are norms by default.
[[nodiscard]] Result<AdapterModules> read_ln_tuning_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors);
// TRAINABLE_TOKENS: rows of the embedding and of the head for listed tokens.
[[nodiscard]] Result<AdapterModules> read_trainable_tokens_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors);

}  // namespace slora
