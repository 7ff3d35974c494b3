#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// E_DATA of a line of training data: "messages[0].role: expected ..., found ...". `place` is the key; `found` may be null for an absent
// one.
[[nodiscard]] tl::unexpected<Error> refuse_data(const std::string& place, std::string_view expected, const Json* found);

}  // namespace slora
