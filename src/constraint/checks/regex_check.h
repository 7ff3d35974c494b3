#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

// Where a regular expression stands, which decides what it may match.
enum class RegexUse : std::uint8_t {
  answer,       // the whole answer
  json_string,  // the inside of a JSON string: quotes, backslashes and control characters are not matched
};

inline constexpr std::size_t kRegexBytesMax = std::size_t{16} << 10;
inline constexpr std::int64_t kCountMax = 4096;        // of one counted repetition
inline constexpr std::int64_t kNestedCountMax = 1024;  // of counted repetitions within each other, multiplied
inline constexpr int kGroupDepthMax = 64;

// Whether it is half of a character in UTF-16, which no text in UTF-8 has.
constexpr bool is_surrogate(std::uint32_t code) { return code >= 0xd800 && code < 0xe000; }

// Refuses what is not a regular expression ("bad_constraint"), and what the library would ignore, read otherwise, or take too long for
// ("unsupported_constraint"): look-around, back references, anchors inside, flags, counts that are too large. `place` stands before the
// message.
[[nodiscard]] Status check_regex(std::string_view regex, RegexUse use, const std::string& place);

}  // namespace slora
