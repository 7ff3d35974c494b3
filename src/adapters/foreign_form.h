#pragma once
#include <span>
#include <string>
#include <string_view>

namespace slora {

// Adapters of other programs that are not read are recognised, to say what they are and what to do with them. Each returns the middle of a
// message: "mlx-lm's form: convert it with ..."; empty when nothing is recognised.
//
// By the names of a folder's files.
[[nodiscard]] std::string_view foreign_form_of_files(std::span<const std::string> names);
// By the name of a tensor that is no part of a PEFT adapter.
[[nodiscard]] std::string_view foreign_form_of_tensor(std::string_view name);

}  // namespace slora
