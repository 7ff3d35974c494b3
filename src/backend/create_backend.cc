#include <filesystem>

#include "backend/backends.h"
#include "backend/device_module.h"
#include "base/log.h"

namespace slora {
namespace {

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Messages do not name the option.
Result<std::unique_ptr<Backend>> open_cuda(const std::string& module_path, const BackendOptions& options) {
  if (options.weights != WeightStorage::bf16) {
    return error("E_WEIGHTS", "it keeps weights in bf16 only; choose the cpu backend for {}", name_of(options.weights));
  }
  if (options.shard_count != 1) {
    return error("E_SHARDS", "it computes a model in one piece; choose the cpu backend for {} shards", options.shard_count);
  }
  if (!is_there(module_path)) {
    return error("E_BACKEND",
                 "there is no module {}; where the CUDA toolkit is (13.0 or later), `cmake --preset cuda && cmake --build --preset cuda` "
                 "builds a program that has one (docs/cuda.md)",
                 module_path);
  }
  const Result<const DeviceModule*> module = load_device_module(module_path);
  if (!module) return tl::unexpected(module.error());
  BackendOptions told = options;
  if (!told.warn) told.warn = [](std::string_view line) { log_warning("backend: {}", line); };
  Result<std::unique_ptr<Backend>> backend = (*module)->create(told);
  if (backend) log_warning("the cuda backend was tested on an emulated device only (docs/cuda.md): compare its answers with --backend cpu");
  return backend;
}

}  // namespace

Result<std::unique_ptr<Backend>> create_cuda_backend(const std::string& module_path, const BackendOptions& options) {
  Result<std::unique_ptr<Backend>> backend = open_cuda(module_path, options);
  if (backend) return backend;
  return error(backend.error().code, "--backend: cuda: {}", backend.error().message);
}

Result<std::unique_ptr<Backend>> create_best_backend(const std::string& module_path, const BackendOptions& options) {
  if (!is_there(module_path)) return create_cpu_backend(options);
  Result<std::unique_ptr<Backend>> backend = open_cuda(module_path, options);
  if (backend) return backend;
  log_info("--backend: auto is cpu here; cuda can't be used: {}", backend.error().message);
  return create_cpu_backend(options);
}

Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options) {
  if (name == "auto") return create_best_backend(device_module_path("cuda"), options);
  if (name == "cpu") return create_cpu_backend(options);
  if (name == "cuda") return create_cuda_backend(device_module_path("cuda"), options);
  if (name == "reference") {
    if (options.weights == WeightStorage::int8) {
      return error("E_WEIGHTS", "--weights: the reference backend keeps fp32 only, also of int4; choose the cpu backend for int8");
    }
    return create_reference_backend(options.weights);
  }
  return error("E_BACKEND", "--backend: expected auto, cpu, cuda or reference, found \"{}\"", name);
}

}  // namespace slora
