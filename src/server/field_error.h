#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"
#include "server/error_response.h"

namespace slora {

// invalid_request_error: `place` is the field, or the place within it.
[[nodiscard]] inline tl::unexpected<Error> expected_at(const std::string& place, std::string_view expected, const Json& found) {
  return field_error(place, "{}: expected {}, found {}", place, expected, shown(found));
}

}  // namespace slora
