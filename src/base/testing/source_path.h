#pragma once
#include <string>
#include <string_view>

namespace slora {

// The absolute path of a file or folder of the source tree, named relative to its root: source_path("tests/golden/llama2_mha").
[[nodiscard]] std::string source_path(std::string_view relative);

}  // namespace slora
