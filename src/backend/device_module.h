#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"

namespace slora {

// A backend that is no part of the program but of a shared library next to it, because it needs what most machines lack, or takes long to
// build. The library exports one object, called slora_device_module, which begins with the build's id in every version: nothing else of it
// is read unless the ids are equal, since what crosses the border are types of C++.
struct DeviceModule {
  const char* build = nullptr;
  Result<std::unique_ptr<Backend>> (*create)(const BackendOptions& options) = nullptr;
};

// What program and module must have in common: a digest of the headers that both see, the compiler, and how it was called.
[[nodiscard]] std::string_view build_id();

// Where the module with the backend `name` lies: lib/slora/slora_NAME.so, next to the folder of the running program. Empty if the system
// does not say where that is.
[[nodiscard]] std::string device_module_path(std::string_view name);

// Loads a module for good: its code stays until the process ends. Any thread. Refuses with E_BACKEND, naming the file, what cannot be
// loaded, is no module, or is one of another build.
[[nodiscard]] Result<const DeviceModule*> load_device_module(const std::string& path);

}  // namespace slora
