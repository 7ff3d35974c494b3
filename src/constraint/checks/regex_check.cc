#include "constraint/checks/regex_check.h"

#include <algorithm>
#include <array>
#include <optional>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kPunctuation = "^$.*+?\\()[]{}|/-\"'#%&,:;<=>@_`~! ";
constexpr std::string_view kControls = "nrtfv0";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads a regular expression from its beginning to its end. One thread; used once.
class RegexReader {
 public:
  RegexReader(std::string_view text, RegexUse use, const std::string& place) : text_(text), use_(use), place_(place) {}

  Status read() {
    if (text_.size() > kRegexBytesMax) return refuse("unsupported_constraint", "expected at most {} bytes", kRegexBytesMax);
    if (text_.starts_with('^')) ++at_;
    Result<std::int64_t> nested = read_choices(0);
    if (!nested) return forward_error(nested);
    if (at_ != text_.size()) return refuse("bad_constraint", "')' without '('");
    return {};
  }

 private:
  [[nodiscard]] bool is_at_end() const { return at_ == text_.size(); }
  [[nodiscard]] char here() const { return is_at_end() ? '\0' : text_[at_]; }
  // Whether this character may stand in a JSON string as it is.
  [[nodiscard]] bool fits(unsigned char c) const { return use_ == RegexUse::answer || (c >= 0x20 && c != '"' && c != '\\'); }

  template <class... Args>
  tl::unexpected<Error> refuse(const char* code, fmt::format_string<Args...> format, Args&&... args) const {
    return error(code, "{}: {}, at byte {} of the regular expression {}", place_, fmt::format(format, std::forward<Args>(args)...), at_,
                 quote(text_));
  }

  // Each reader returns the largest product of the counts of repetitions within each other.
  Result<std::int64_t> read_choices(int depth) {
    if (depth > kGroupDepthMax) return refuse("unsupported_constraint", "expected at most {} groups in each other", kGroupDepthMax);
    std::int64_t nested = 1;
    while (!is_at_end() && here() != ')') {
      if (here() == '|') {
        ++at_;
        continue;
      }
      if (here() == '$' && at_ + 1 == text_.size()) {
        ++at_;
        break;
      }
      Result<std::int64_t> atom = read_atom(depth);
      if (!atom) return atom;
      Result<std::int64_t> repeated = read_repetition(*atom);
      if (!repeated) return repeated;
      nested = std::max(nested, *repeated);
    }
    return nested;
  }

  Result<std::int64_t> read_atom(int depth) {
    switch (here()) {
      case '(':
        return read_group(depth);
      case '[':
        return read_class();
      case '\\':
        return read_escape();
      case '.':
        ++at_;
        return 1;
      case '^':
      case '$':
        return refuse("unsupported_constraint", "'{}' is served only at the very {}: the whole text is matched anyway", here(),
                      here() == '^' ? "beginning" : "end");
      case '*':
      case '+':
      case '?':
      case '{':
        return refuse("bad_constraint", "'{}' repeats nothing", here());
      case ']':
      case '}':
        return refuse("bad_constraint", "'{0}' without its partner; write \\{0}", here());
      default:
        return read_literal();
    }
  }

  Result<std::int64_t> read_literal() {
    const auto c = static_cast<unsigned char>(here());
    if (use_ == RegexUse::json_string && c >= 0x7f) {
      return refuse("unsupported_constraint", "in patterns of JSON strings only ASCII is served; '.' and negated classes match the rest");
    }
    if (!fits(c)) return refuse("unsupported_constraint", "a quote, backslash or control character in the pattern of a JSON string");
    ++at_;
    return 1;
  }

  Result<std::int64_t> read_group(int depth) {
    ++at_;
    if (here() == '?') {
      if (text_.substr(at_, 2) != "?:") {
        return refuse("unsupported_constraint", "look-around, named groups and flags are not served; groups are (...) or (?:...)");
      }
      at_ += 2;
    }
    Result<std::int64_t> nested = read_choices(depth + 1);
    if (!nested) return nested;
    if (here() != ')') return refuse("bad_constraint", "'(' without ')'");
    ++at_;
    return nested;
  }

  // Whether this is an escape that stands for a set of characters.
  static bool is_set(char c) { return std::string_view("dDwWsS").find(c) != std::string_view::npos; }

  // The character that an escape stands for, at the backslash; nothing for a set of characters.
  Result<std::optional<std::uint32_t>> read_escaped() {
    ++at_;
    const char c = here();
    if (is_at_end()) return refuse("bad_constraint", "a backslash at the end");
    if (is_set(c)) {
      ++at_;
      return std::optional<std::uint32_t>();
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    if (digits != 0) {
      const std::string_view hex = text_.substr(at_ + 1, digits);
      if (hex.size() != digits || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
        return refuse("bad_constraint", "expected {} hexadecimal digits after \\{}", digits, c);
      const auto code = static_cast<std::uint32_t>(std::stoul(std::string(hex), nullptr, 16));
      if (is_surrogate(code))
        return refuse("unsupported_constraint", "the escape \\u{} is half of a character; write the character itself", hex);
      at_ += 1 + digits;
      return std::optional<std::uint32_t>(code);
    }
    if (const std::size_t control = kControls.find(c); control != std::string_view::npos) {
      ++at_;
      return std::optional<std::uint32_t>(static_cast<unsigned char>("\n\r\t\f\v\0"[control]));
    }
    if (kPunctuation.find(c) == std::string_view::npos)
      return refuse("unsupported_constraint", "the escape \\{} (back references, boundaries and Unicode classes are not served)", c);
    ++at_;
    return std::optional<std::uint32_t>(static_cast<unsigned char>(c));
  }

  Result<std::int64_t> read_escape() {
    const Result<std::optional<std::uint32_t>> escaped = read_escaped();
    if (!escaped) return tl::unexpected<Error>(escaped.error());
    if (!*escaped) return 1;
    if (use_ == RegexUse::json_string && (**escaped > 0x7e || !fits(static_cast<unsigned char>(**escaped))))
      return refuse("unsupported_constraint", "a quote, backslash, control or non-ASCII character in the pattern of a JSON string");
    return 1;
  }

  // One end of a range; nothing for a set of characters.
  Result<std::optional<std::uint32_t>> read_class_item() {
    if (here() == '\\') return read_escaped();
    const auto first = static_cast<unsigned char>(here());
    if (use_ == RegexUse::json_string && first >= 0x7f)
      return refuse("unsupported_constraint", "in patterns of JSON strings only ASCII is served; '.' and negated classes match the rest");
    if (first == '[') return refuse("unsupported_constraint", "'[' in a class: write \\[");
    ++at_;
    if (first < 0x80) return std::optional<std::uint32_t>(first);
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    std::uint32_t code = first & (0x3fU >> more);
    for (int i = 0; i < more && !is_at_end(); ++i) code = code << 6 | (static_cast<unsigned char>(text_[at_++]) & 0x3fU);
    return std::optional<std::uint32_t>(code);
  }

  Result<std::int64_t> read_class() {
    ++at_;
    const bool is_negated = here() == '^';
    if (is_negated) ++at_;
    if (here() == ']') return refuse("bad_constraint", "an empty class");
    bool has_fitting = is_negated;
    while (!is_at_end() && here() != ']') {
      const Result<std::optional<std::uint32_t>> low = read_class_item();
      if (!low) return tl::unexpected<Error>(low.error());
      std::optional<std::uint32_t> high = *low;
      if (here() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const Result<std::optional<std::uint32_t>> end = read_class_item();
        if (!end) return tl::unexpected<Error>(end.error());
        if (!*low || !*end || **end < **low) return refuse("bad_constraint", "expected a range from a smaller to a larger character");
        high = *end;
      }
      has_fitting = has_fitting || !*low || *high >= 0x80;
      for (std::uint32_t c = low->value_or(0x80); !has_fitting && c <= *high; ++c) has_fitting = fits(static_cast<unsigned char>(c));
    }
    if (is_at_end()) return refuse("bad_constraint", "'[' without ']'");
    if (!has_fitting) return refuse("unsupported_constraint", "a class of characters none of which a JSON string has as they are");
    ++at_;
    return 1;
  }

  // A number of at most six digits; -1: none.
  std::int64_t read_number() {
    std::int64_t number = -1;
    for (int digits = 0; is_digit(here()) && digits < 6; ++digits) number = std::max<std::int64_t>(number, 0) * 10 + (text_[at_++] - '0');
    return number;
  }

  Result<std::int64_t> read_repetition(std::int64_t nested) {
    if (here() == '*' || here() == '+' || here() == '?') {
      ++at_;
    } else if (here() == '{') {
      ++at_;
      const std::int64_t least = read_number();
      std::int64_t most = least;
      if (here() == ',') {
        ++at_;
        if (here() != '}') most = read_number();
      }
      if (least < 0 || most < least || here() != '}')
        return refuse("bad_constraint", "expected {{m}}, {{m,}} or {{m,n}} with m <= n of at most six digits");
      ++at_;
      if (most > kCountMax) return refuse("unsupported_constraint", "expected a count of at most {}, found {}", kCountMax, most);
      const std::int64_t product = std::max<std::int64_t>(most, 1) * nested;
      if (nested > 1 && product > kNestedCountMax) {
        return refuse("unsupported_constraint", "counted repetitions within each other: expected a product of at most {}, found {}",
                      kNestedCountMax, product);
      }
      nested = product;
    } else {
      return nested;
    }
    if (here() == '?') ++at_;  // a lazy repetition matches the same texts
    if (here() == '*' || here() == '+' || here() == '?' || here() == '{') return refuse("bad_constraint", "two repetitions of one thing");
    return nested;
  }

  const std::string_view text_;
  const RegexUse use_;
  const std::string& place_;
  std::size_t at_ = 0;
};

}  // namespace

Status check_regex(std::string_view regex, RegexUse use, const std::string& place) { return RegexReader(regex, use, place).read(); }

}  // namespace slora
