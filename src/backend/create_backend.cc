#include "backend/backends.h"

namespace slora {

Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options) {
  if (name == "cpu" || name == "auto") return create_cpu_backend(options);
  if (name == "reference") {
    if (options.weights == WeightStorage::int8) {
      return error("E_WEIGHTS", "--weights: the reference backend keeps fp32 only; choose the cpu backend for int8");
    }
    return create_reference_backend();
  }
  return error("E_BACKEND", "--backend: expected auto, cpu or reference, found \"{}\"", name);
}

}  // namespace slora
