#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace slora {

// What readers of all families need of the tensors of an adapter's file: their names, types and shapes.

using NameSegments = std::vector<std::string_view>;  // of a name, between its dots

// The name within the base model: without the wrappers of training frameworks, without "base_model.model." (of nested PEFT models too), and
// without the adapter's name that raw state dictionaries have after "lora_A" and the like. Empty for a name without "base_model.model.", or
// with an empty segment.
[[nodiscard]] NameSegments normalised_name(std::string_view name);
// The name of what belongs to all modules, without wrappers and the adapter's name: "vera_A" for "base_model.vera_A". Empty for others.
[[nodiscard]] std::string_view name_of_shared(std::string_view name);
// Whether a component of a name is what an adapter adds to a module, as "lora_A".
[[nodiscard]] bool is_of_adapter(std::string_view segment);
[[nodiscard]] std::string path_of(std::span<const std::string_view> segments);
[[nodiscard]] bool contains(const NameSegments& segments, std::string_view segment);

[[nodiscard]] bool is_float(DType dtype);
[[nodiscard]] bool is_integer(DType dtype);
// "[8, 64]"
[[nodiscard]] std::string shape_of(const TensorInfo& tensor);
// E_SHAPE
[[nodiscard]] Status check_dimensions(const TensorInfo& tensor, std::size_t count);
[[nodiscard]] Status check_vector(const TensorInfo& tensor, std::int64_t count);

// The first names of a list, for messages.
template <class Names>
std::string shown_names(const Names& names) {
  constexpr std::size_t kNamesShown = 10;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) shown.push_back(quote(names[i]));
  const std::string more = names.size() > kNamesShown ? fmt::format(" and {} more", names.size() - kNamesShown) : "";
  return fmt::format("{}{}", fmt::join(shown, ", "), more);
}

}  // namespace slora
