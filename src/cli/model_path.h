#pragma once
#include <filesystem>
#include <string>

#include "base/result.h"

namespace slora {

// Whether `path` is a folder with a model. A hub name ("org/name") is refused with the command that downloads it: the server itself
// never accesses the network.
[[nodiscard]] Status check_model_folder(const std::string& path);

// The default name of the model in this folder: the folder's name, or "org/name" in a hub cache.
[[nodiscard]] std::string default_model_name(const std::filesystem::path& folder);

}  // namespace slora
