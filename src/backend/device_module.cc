#include "backend/device_module.h"

#include <dlfcn.h>

#include <filesystem>

namespace slora {

namespace fs = std::filesystem;

std::string device_module_path(std::string_view name) {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return {};
  return (program.parent_path().parent_path() / "lib" / "slora" / fmt::format("slora_{}.so", name)).string();
}

Result<const DeviceModule*> load_device_module(const std::string& path) {
  const auto refuse = [&](std::string_view why) { return error("E_BACKEND", "module {}: {}", path, why); };
  // Now: a function that is missing is an error here and not when it is called. Local: no name of it serves anybody else.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) return refuse(dlerror());  // NOLINT(concurrency-mt-unsafe): the message is of this thread
  const auto* const module = static_cast<const DeviceModule*>(dlsym(library, "slora_device_module"));
  if (module == nullptr) return refuse("expected a module of slora, found another library");
  if (module->build == nullptr || module->build != build_id()) {
    return refuse(fmt::format("expected one of this program's build ({}), found {}; build program and module together", build_id(),
                              module->build == nullptr ? "none" : module->build));
  }
  return module;
}

}  // namespace slora
