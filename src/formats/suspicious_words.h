#pragma once
#include <string>
#include <string_view>

#include "formats/json.h"

namespace slora {

// Judges keys of configs that are not known, by words. The word of a key's name that suggests that it changes what is computed ("scale" of
// "attn_scale_base"), or a method that its value names ("dora"); empty if there is none.
[[nodiscard]] std::string suspicious_word(std::string_view key, const Json& value);

}  // namespace slora
