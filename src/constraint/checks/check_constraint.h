#pragma once
#include "base/result.h"
#include "constraint/constraint.h"

namespace slora {

// The form that the library is given for `spec`: one that it keeps exactly and compiles and matches in bounded time, as far as the text
// tells. Errors "bad_constraint" and "unsupported_constraint". Choices become a grammar.
[[nodiscard]] Result<ConstraintSpec> check_constraint(const ConstraintSpec& spec);

}  // namespace slora
