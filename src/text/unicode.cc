#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "base/check.h"
#include "text/newer_characters.h"
#include "text/utf8.h"

namespace slora {
namespace {

utf8proc_category_t category_of(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(older_character(code_point)));
}

bool in(char32_t code_point, char32_t first, char32_t last) { return code_point >= first && code_point <= last; }

// Characters with the property Other_Alphabetic that are no letters, numbers or marks by category: circled and squared letters.
bool is_other_alphabetic_symbol(char32_t code_point) {
  return in(code_point, 0x24B6, 0x24E9) || in(code_point, 0x1F130, 0x1F149) || in(code_point, 0x1F150, 0x1F169) ||
         in(code_point, 0x1F170, 0x1F189);
}

struct CharacterRange {
  char32_t first;
  char32_t last;
};

// Characters that normalisation changes in current Unicode, but not in the older version that `tokenizers` normalises by; they must
// stay unchanged. Sorted.
// clang-format off
constexpr std::array<CharacterRange, 48> kNeverNormalized = {{
    {0x7FD, 0x7FD}, {0x898, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B, 0xD3C}, {0xEBA, 0xEBA}, {0x1715, 0x1715},
    {0x1ABF, 0x1ACE}, {0x1DF6, 0x1DFA}, {0x32FF, 0x32FF}, {0xA7F2, 0xA7F4}, {0xA82C, 0xA82C}, {0xAB69, 0xAB69}, {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930},
    {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}
}};

// Characters that are punctuation in current Unicode but not in the older version that `tokenizers` splits at punctuation by, or the
// reverse. Sorted.
constexpr std::array<CharacterRange, 32> kPunctuationByOneVersion = {{
    {0x61D, 0x61D}, {0x9FD, 0x9FD}, {0xA76, 0xA76}, {0xC77, 0xC77}, {0xC84, 0xC84}, {0x166D, 0x166D}, {0x1B7D, 0x1B7E}, {0x2E43, 0x2E4F},
    {0x2E52, 0x2E5D}, {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x111C9, 0x111C9}, {0x1144B, 0x1144F},
    {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946},
    {0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71},
    {0x11EF7, 0x11EF8}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}
}};
// clang-format on

bool is_in(std::span<const CharacterRange> ranges, char32_t code_point) {
  const auto range =
      std::lower_bound(ranges.begin(), ranges.end(), code_point, [](const CharacterRange& r, char32_t c) { return r.last < c; });
  return range != ranges.end() && range->first <= code_point;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Sorts the marks after each starter by combining class. utf8proc's own ordering is quadratic in
// the length of such a run, which a request controls.
void sort_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto class_of = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  const auto is_starter = [&](utf8proc_int32_t c) { return class_of(c) == 0; };
  auto begin = code_points.begin();
  while (true) {
    begin = std::find_if_not(begin, code_points.end(), is_starter);
    if (begin == code_points.end()) return;
    const auto end = std::find_if(begin, code_points.end(), is_starter);
    std::stable_sort(begin, end, [&](utf8proc_int32_t a, utf8proc_int32_t b) { return class_of(a) < class_of(b); });
    begin = end;
  }
}

std::vector<utf8proc_int32_t> decompose(std::string_view text, utf8proc_option_t options) {
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(text.size());
  std::array<utf8proc_int32_t, 32> buffer{};  // the longest decomposition has 18 code points
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    int last_boundclass = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(next.value), buffer.data(),
                                                           static_cast<utf8proc_ssize_t>(buffer.size()), options, &last_boundclass);
    check(count >= 0 && count <= static_cast<utf8proc_ssize_t>(buffer.size()), "expected a decomposition to fit the buffer");
    code_points.insert(code_points.end(), buffer.begin(), buffer.begin() + count);
    text.remove_prefix(next.bytes);
  }
  return code_points;
}

void append_form(std::string& out, std::string_view text, UnicodeForm form) {
  if (is_ascii(text)) {
    out += text;
    return;
  }
  const bool compatible = form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
  const bool composed = form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
  std::vector<utf8proc_int32_t> code_points =
      decompose(text, static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0)));
  sort_marks(code_points);
  auto count = static_cast<utf8proc_ssize_t>(code_points.size());
  if (composed) {
    count = utf8proc_normalize_utf32(code_points.data(), count, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    check(count >= 0, "expected the composition to succeed");
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(out, static_cast<char32_t>(code_points[static_cast<std::size_t>(i)]));
}

}  // namespace

bool is_white_space(char32_t c) {
  return in(c, 0x09, 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || in(c, 0x2000, 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

std::size_t trailing_white_space(std::string_view text) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const CodePoint last = last_code_point(text.substr(0, text.size() - bytes));
    if (!is_white_space(last.value)) break;
    bytes += last.bytes;
  }
  return bytes;
}

std::size_t leading_white_space(std::string_view text) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const CodePoint first = first_code_point(text.substr(bytes));
    if (!is_white_space(first.value)) break;
    bytes += first.bytes;
  }
  return bytes;
}

bool is_word(char32_t code_point) {
  switch (category_of(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code_point == 0x200C || code_point == 0x200D || is_other_alphabetic_symbol(code_point);
  }
}

bool is_numeric(char32_t code_point) {
  const utf8proc_category_t category = category_of(code_point);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return in(c, '!', '/') || in(c, ':', '@') || in(c, '[', '`') || in(c, '{', '~');
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  const bool is_punctuation_today = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
  return is_punctuation_today != is_in(kPunctuationByOneVersion, c);
}

std::string to_unicode_form(std::string_view text, UnicodeForm form) {
  std::string out;
  out.reserve(text.size());
  std::size_t begin = 0;  // of the part to normalise
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint next = first_code_point(text.substr(at));
    if (next.value >= kNeverNormalized.front().first && is_in(kNeverNormalized, next.value)) {
      append_form(out, text.substr(begin, at - begin), form);
      append_utf8(out, next.value);
      begin = at + next.bytes;
    }
    at += next.bytes;
  }
  append_form(out, text.substr(begin), form);
  return out;
}

std::string to_lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    text.remove_prefix(next.bytes);
    if (next.value == 0x130) {
      out += "i\u0307";  // the only character whose lower case is two
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(next.value))));
    }
  }
  return out;
}

}  // namespace slora
