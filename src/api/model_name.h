#pragma once
#include <filesystem>
#include <string>

namespace slora {

// The default name of the model in this folder: the folder's name, or "org/name" in a hub cache.
[[nodiscard]] std::string default_model_name(const std::filesystem::path& folder);

}  // namespace slora
