#pragma once
#include <string>

#include "base/result.h"

namespace slora {

// Whether `path` is a folder with a model, or a GGUF file. A hub name ("org/name") is refused with the command that downloads it: the
// server itself never accesses the network.
[[nodiscard]] Status check_model_folder(const std::string& path);

}  // namespace slora
