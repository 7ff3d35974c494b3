#pragma once
#include <string>
#include <vector>

namespace slora {

// The texts that were given for an option that takes several: each as it is, or several as a JSON list, as vLLM's options have them. The
// command-line parser cuts such a list at its commas, so brackets may be missing, and quotes may stand around each text.
[[nodiscard]] std::vector<std::string> texts_of_option(const std::vector<std::string>& given);

}  // namespace slora
