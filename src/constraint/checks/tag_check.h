#pragma once
#include <string_view>

#include "base/result.h"
#include "constraint/checks/schema_check.h"
#include "formats/json.h"

namespace slora {

// Reads a structural tag as xgrammar has them, {"type": "structural_tag", "format": ...} or {"structures": [...], "triggers": [...]}, and
// checks the schemas, expressions and grammars in it; the schemas are rewritten as by check_schema(). Errors "bad_constraint" and
// "unsupported_constraint".
[[nodiscard]] Result<Json> check_tag(std::string_view text, OtherProperties other_properties);

}  // namespace slora
