#include "api/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/json_characters.h"
#include "text/utf8.h"

namespace slora {

void append_json_string(std::string& out, std::string_view text) {
  if (!is_valid_utf8(text)) return append_json_string(out, to_valid_utf8(text));
  out.push_back('"');
  append_json_text(out, text);
  out.push_back('"');
}

void append_json_number(std::string& out, double value) {
  constexpr double largest = 3.4028234663852886e+38;
  out += fmt::format("{}", std::isnan(value) ? 0.0 : std::clamp(value, -largest, largest));
}

}  // namespace slora
