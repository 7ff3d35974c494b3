#include "text/token_ranges.h"

#include <algorithm>
#include <optional>

#include "text/unicode.h"

namespace slora {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";  // a space in many vocabularies; in texts it becomes the same token as one

// How many bytes of `text` a token with these bytes is made of, if the text begins with it.
std::optional<std::size_t> matched_bytes(std::string_view text, std::string_view token) {
  std::size_t matched = 0;
  for (const char byte : token) {
    const std::string_view rest = text.substr(matched);
    const bool is_mark = byte == ' ' && rest.starts_with(kSpaceMark);
    if (!is_mark && !rest.starts_with(byte)) return {};
    matched += is_mark ? kSpaceMark.size() : 1;
  }
  return matched;
}

// Where a token's bytes stand in the text from `begin` on, if they follow there: as they are, without the space that the tokenizer
// inserted, or after white space that a neighbour of the token swallowed.
std::optional<TextRange> range_from(std::string_view text, std::size_t begin, std::string_view bytes) {
  const std::string_view rest = text.substr(begin);
  if (const auto matched = matched_bytes(rest, bytes)) return TextRange{begin, begin + *matched};
  if (bytes.starts_with(' ')) {
    if (const auto matched = matched_bytes(rest, bytes.substr(1))) return TextRange{begin, begin + *matched};
  }
  const bool starts_character = !rest.empty() && (static_cast<unsigned char>(rest.front()) & 0xC0U) != 0x80U;
  const std::size_t skipped = starts_character ? leading_white_space(rest) : 0;
  if (skipped == 0) return {};
  const auto matched = matched_bytes(rest.substr(skipped), bytes);
  return matched ? std::optional(TextRange{begin + skipped, begin + skipped + *matched}) : std::nullopt;
}

}  // namespace

std::vector<TextRange> token_ranges(const Tokenizer& tokenizer, std::string_view text, std::span<const TokenId> ids) {
  std::vector<TextRange> ranges;
  ranges.reserve(ids.size());
  std::size_t end = 0;  // of the ranges so far; inside a character for a token that is a part of one
  while (ranges.size() < ids.size()) {
    if (const std::optional<TextRange> range = range_from(text, end, tokenizer.token_bytes(ids[ranges.size()]))) {
      ranges.push_back(*range);
      end = range->end;
      continue;
    }
    // Rewritten: everything up to the next special token that stands in the text.
    std::size_t next = ranges.size() + 1;
    while (next < ids.size() && !tokenizer.is_special(ids[next])) ++next;
    std::size_t part_end = text.size();
    if (next < ids.size()) part_end = std::min(part_end, text.find(tokenizer.token_bytes(ids[next]), end));
    ranges.resize(next, TextRange{end, part_end});
    end = part_end;
  }
  return ranges;
}

}  // namespace slora
