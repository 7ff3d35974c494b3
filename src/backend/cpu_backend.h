#pragma once
#include <memory>

#include "backend/backend.h"

namespace slora {

// bf16 weights, KV and adapters, fp32 sums, on every core this process may use, with the best instruction set there is.
[[nodiscard]] std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options);

}  // namespace slora
