#include "adapters/adapter_files.h"

#include <algorithm>
#include <array>

namespace slora {

AdapterFiles find_adapter_files(const Folder& folder) {
  struct Form {
    AdapterForm form;
    std::string_view weights;
  };
  constexpr std::array kForms = {Form{AdapterForm::peft, kPeftWeights}, Form{AdapterForm::mlx, "adapters.safetensors"},
                                 Form{AdapterForm::torchtune, "adapter_0.safetensors"}};
  for (const auto& [form, weights] : kForms) {
    if (folder.exists(weights)) return {form, std::string(kPeftConfig), std::string(weights)};
  }
  if (const std::vector<std::string> files = gguf_files_of(folder); !files.empty()) return {AdapterForm::gguf, files[0], files[0]};
  return {AdapterForm::peft, std::string(kPeftConfig), std::string(kPeftWeights)};
}

std::vector<std::string> gguf_files_of(const Folder& folder) {
  constexpr std::size_t kNamesMax = 1000;
  std::vector<std::string> names = folder.entries(kNamesMax).value_or(std::vector<std::string>());
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(".gguf"); });
  if (names.size() > 2) names.resize(2);
  return names;
}

std::string_view find_pickle(const Folder& folder) {
  constexpr std::array<std::string_view, 4> kPickles = {"adapter_model.bin", "adapter_model.pt", "adapter_0.pt", kLongLoraWeights};
  const auto* const found = std::ranges::find_if(kPickles, [&](std::string_view name) { return folder.exists(name); });
  return found != kPickles.end() ? *found : std::string_view();
}

}  // namespace slora
