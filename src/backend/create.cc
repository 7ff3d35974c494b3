#include "backend/reference_backend.h"

namespace slora {

Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options) {
  static_cast<void>(options);
  if (name == "reference" || name == "auto") return create_reference_backend();
  return error("E_BACKEND", "there is no backend called '{}': choose auto or reference", name);
}

}  // namespace slora
