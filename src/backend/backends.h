#pragma once
#include <memory>

#include "backend/backend.h"

namespace slora {

// The implementations that create_backend() chooses from.

// bf16 or int8 weights, bf16 KV and adapters, fp32 sums; on all cores that this process may use, with vector instructions.
[[nodiscard]] std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options);

// What the others are compared with: fp32 weights, KV and adapters, plain loops, one thread.
[[nodiscard]] std::unique_ptr<Backend> create_reference_backend();

}  // namespace slora
