#pragma once
#include <cstdint>

#include "engine/runtime.h"

namespace slora {

// How long requests of adapters that extend the context may be, as --max-adapter-len and the tokens of a pool allow; 0: such adapters
// are refused.
[[nodiscard]] std::int64_t extended_positions(const RuntimeOptions& options, const ModelConfig& config, const Backend& backend,
                                              std::int64_t pool_tokens);
// "E_MAX_ADAPTER_LEN" for lengths that are impossible or that the pool does not hold.
[[nodiscard]] Status check_max_adapter_len(const RuntimeOptions& options, std::int64_t pool_tokens);

}  // namespace slora
