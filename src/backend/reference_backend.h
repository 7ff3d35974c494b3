#pragma once
#include <memory>

#include "backend/backend.h"

namespace slora {

// The oracle: fp32 weights, fp32 KV, plain loops, one thread.
[[nodiscard]] std::unique_ptr<Backend> create_reference_backend();

}  // namespace slora
