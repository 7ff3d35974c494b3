#pragma once
#include <memory>
#include <string>

#include "backend/backend.h"

namespace slora {

// The implementations that create_backend() chooses from.

// bf16, int8 or int4 weights, bf16 KV and adapters, fp32 sums; on all cores that this process may use, with vector instructions.
[[nodiscard]] std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options);

// What the others are compared with: fp32 weights, KV and adapters, plain loops, one thread. With int4, fp32 weights of the values that the
// cpu backend keeps.
[[nodiscard]] std::unique_ptr<Backend> create_reference_backend(WeightStorage weights = WeightStorage::bf16);

// The CUDA backend, which lies in a module (device_module.h). Refuses options that it does not serve, a module that is not there, saying
// how to build it, or of another build, and tells why no device can be used.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_cuda_backend(const std::string& module_path, const BackendOptions& options);

// What "auto" is: cuda, if its module is there and gives a backend for these options, else cpu. Where the module is there in vain, a line
// in the log says why.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_best_backend(const std::string& module_path, const BackendOptions& options);

}  // namespace slora
