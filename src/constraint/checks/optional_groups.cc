#include "constraint/checks/optional_groups.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace slora {
namespace {

// The length of the class that begins `text`.
std::size_t class_length(std::string_view text) {
  std::size_t at = 1;
  while (at < text.size() && text[at] != ']') at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

// The repetition that `text` begins with if it may be none: its length, and what it is without none. Length 0: there is none.
struct OptionalRepetition {
  std::size_t length = 0;
  std::string at_least_one;
};

OptionalRepetition optional_repetition(std::string_view text) {
  if (text.starts_with('?')) return {1, ""};
  if (text.starts_with('*')) return {1, "+"};
  if (!text.starts_with("{0,")) return {};
  const std::size_t end = text.find('}');
  if (end == std::string_view::npos || text.substr(3, end - 3) == "0") return {};
  return {end + 1, "{1," + std::string(text.substr(3, end - 3)) + "}"};
}

}  // namespace

std::string without_optional_groups(std::string_view regex) {
  std::string out;
  std::vector<std::size_t> begins;  // of the open groups, in `out`
  for (std::size_t at = 0; at < regex.size();) {
    const char c = regex[at];
    if (c == '\\' || c == '[') {
      const std::size_t length = c == '[' ? class_length(regex.substr(at)) : 2;
      out += regex.substr(at, length);
      at += length;
      continue;
    }
    if (c == '(') begins.push_back(out.size());
    out += c;
    ++at;
    if (c != ')' || begins.empty()) continue;
    const std::size_t begin = begins.back();
    begins.pop_back();
    const OptionalRepetition repetition = optional_repetition(regex.substr(at));
    if (repetition.length == 0) continue;
    out.insert(begin, "(");
    out += repetition.at_least_one + "|)";
    at += repetition.length;
  }
  return out;
}

}  // namespace slora
