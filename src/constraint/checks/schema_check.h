#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kFormBytesMax = std::size_t{256} << 10;

enum class OtherProperties { as_the_schema_says, none };

// Reads a JSON schema of which every keyword is enforced, or refuses it with the keyword and the place at fault: "bad_constraint" where it
// is no schema, else "unsupported_constraint". The result means the same, and says what the library would otherwise assume: annotations
// are left out, objects and arrays say what else they may hold, lengths of strings are patterns.
[[nodiscard]] Result<Json> check_schema(const Json& schema, OtherProperties other_properties);
[[nodiscard]] Result<Json> check_schema_text(std::string_view text, OtherProperties other_properties);

}  // namespace slora
