#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "text/python_text.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

constexpr std::size_t kTokensMax = 30'000;  // the largest published templates have a fifth of them

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

std::string with_plain_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();  // Jinja removes one newline at the end
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      if (Status status = read_text_and_tag(); !status) return forward_error(status);
    }
    put(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] std::string_view rest() const { return std::string_view(source_).substr(at_); }

  tl::unexpected<Error> fail(std::string_view what) const { return error("E_CHAT_TEMPLATE", "chat template, line {}: {}", line_, what); }

  void put(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // Each token costs some hundred bytes and about a microsecond, here and in the parser.
  Status check_count() const {
    if (tokens_.size() <= kTokensMax) return {};
    return fail(fmt::format("more than {} names, numbers and symbols", kTokensMax));
  }

  void advance(std::size_t bytes) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_), source_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }

  void skip_white_space() { advance(rest().size() - strip_left(rest()).size()); }

  // Reads the text up to the next tag, trimmed by the tag's white space control, and the tag.
  Status read_text_and_tag() {
    std::size_t open = rest().find('{');
    while (open != std::string_view::npos && !is_tag_at(at_ + open)) open = rest().find('{', open + 1);
    if (open == std::string_view::npos) {
      put(TokenKind::text, std::string(rest()));
      advance(rest().size());
      return {};
    }
    const char kind = source_[at_ + open + 1];
    const char sign = at_ + open + 2 < source_.size() ? source_[at_ + open + 2] : ' ';
    std::string_view text = rest().substr(0, open);
    if (sign == '-') {
      text = strip_right(text);
    } else if (sign != '+' && kind != '{') {
      const std::size_t line_begin = text.rfind('\n') + 1;  // 0 when there is no newline
      if ((line_begin > 0 || at_line_start_) && strip_left(text.substr(line_begin)).empty()) text = text.substr(0, line_begin);
    }
    if (!text.empty()) put(TokenKind::text, std::string(text));
    advance(open + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') return skip_comment();
    if (kind == '%' && begins_raw()) return read_raw();
    put(kind == '{' ? TokenKind::output_begin : TokenKind::tag_begin, "");
    return read_tag(kind == '{');
  }

  [[nodiscard]] bool is_tag_at(std::size_t index) const {
    return index + 1 < source_.size() && (source_[index + 1] == '{' || source_[index + 1] == '%' || source_[index + 1] == '#');
  }

  // After a closing "%}" or "#}": skips the white space that `sign`, the character before it, removes from the following text.
  void close_tag(char sign) {
    if (sign == '-') {
      const std::size_t before = at_;
      skip_white_space();
      at_line_start_ = at_ > before && source_[at_ - 1] == '\n';
    } else if (sign != '+' && rest().starts_with('\n')) {
      advance(1);
      at_line_start_ = true;
    } else {
      at_line_start_ = false;
    }
  }

  Status skip_comment() {
    const std::size_t close = rest().find("#}");
    if (close == std::string_view::npos) return fail("a comment is not closed");
    const char sign = close > 0 ? rest()[close - 1] : ' ';
    advance(close + 2);
    close_tag(sign);
    return {};
  }

  // The length of `word` and the white space around it, if `text` begins with them.
  static std::optional<std::size_t> length_of_word(std::string_view text, std::string_view word) {
    const std::string_view from_word = strip_left(text);
    if (!from_word.starts_with(word)) return std::nullopt;
    return text.size() - strip_left(from_word.substr(word.size())).size();
  }

  [[nodiscard]] bool begins_raw() const {
    const std::optional<std::size_t> length = length_of_word(rest(), "raw");
    return length && (rest().substr(*length).starts_with("%}") || rest().substr(*length).starts_with("-%}"));
  }

  Status read_raw() {
    advance(*length_of_word(rest(), "raw"));
    const bool strips = rest()[0] == '-';
    advance(strips ? 3 : 2);
    if (strips) skip_white_space();
    for (std::size_t open = rest().find("{%"); open != std::string_view::npos; open = rest().find("{%", open + 1)) {
      const std::string_view tag = rest().substr(open + 2);
      const char open_sign = !tag.empty() && (tag[0] == '-' || tag[0] == '+') ? tag[0] : ' ';
      const std::string_view word = open_sign == ' ' ? tag : tag.substr(1);
      const std::optional<std::size_t> length = length_of_word(word, "endraw");
      if (!length) continue;
      const std::string_view close = word.substr(*length);
      const char close_sign = !close.empty() && (close[0] == '-' || close[0] == '+') ? close[0] : ' ';
      if (!close.substr(close_sign == ' ' ? 0 : 1).starts_with("%}")) continue;
      std::string_view text = rest().substr(0, open);
      if (open_sign == '-') text = strip_right(text);
      if (!text.empty()) put(TokenKind::text, std::string(text));
      advance(rest().size() - close.size() + (close_sign == ' ' ? 2 : 3));
      close_tag(close_sign);
      return {};
    }
    return fail("a raw block is not closed");
  }

  Status read_tag(bool is_output) {
    const std::string_view close = is_output ? "}}" : "%}";
    std::size_t depth = 0;  // of open brackets; inside them "}}" closes two dictionaries
    while (true) {
      skip_white_space();
      if (rest().empty()) return fail("a tag is not closed");
      const char sign = rest()[0] == '-' || (rest()[0] == '+' && !is_output) ? rest()[0] : ' ';
      if (depth == 0 && rest().substr(sign == ' ' ? 0 : 1).starts_with(close)) {
        put(is_output ? TokenKind::output_end : TokenKind::tag_end, "");
        advance(sign == ' ' ? 2 : 3);
        if (!is_output || sign == '-') {
          close_tag(sign);
        } else {
          at_line_start_ = false;
        }
        return {};
      }
      if (Status status = read_token(depth); !status) return status;
      if (Status status = check_count(); !status) return status;
    }
  }

  Status read_token(std::size_t& depth) {
    const char c = rest()[0];
    if (is_digit(c)) return read_number();
    if (is_name_character(c)) {
      std::size_t length = 1;
      while (length < rest().size() && is_name_character(rest()[length])) ++length;
      put(TokenKind::name, std::string(rest().substr(0, length)));
      advance(length);
      return {};
    }
    if (c == '\'' || c == '"') return read_string();
    constexpr std::array<std::string_view, 6> kPairs = {"**", "//", "==", "!=", ">=", "<="};
    std::size_t length = std::find(kPairs.begin(), kPairs.end(), rest().substr(0, 2)) != kPairs.end() ? 2 : 1;
    if (length == 1 && std::string_view("+-*/%~<>=.:|,;()[]{}").find(c) == std::string_view::npos) {
      return fail(fmt::format("unexpected character '{}'", rest().substr(0, first_code_point(rest()).bytes)));
    }
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') {
      if (depth == 0) return fail(fmt::format("unexpected '{}'", c));
      --depth;
    }
    put(TokenKind::symbol, std::string(rest().substr(0, length)));
    advance(length);
    return {};
  }

  // Appends the digits from `at` on, without underscores between them.
  std::size_t read_digits(std::size_t at, std::string& out) const {
    while (at < source_.size() && (is_digit(source_[at]) || (source_[at] == '_' && at + 1 < source_.size() && is_digit(source_[at + 1])))) {
      if (source_[at] != '_') out += source_[at];
      ++at;
    }
    return at;
  }

  Status read_number() {
    const bool after_dot = !tokens_.empty() && tokens_.back().kind == TokenKind::symbol && tokens_.back().text == ".";
    const auto digit_at = [&](std::size_t index) { return index < source_.size() && is_digit(source_[index]); };
    std::string digits;
    std::size_t end = read_digits(at_, digits);
    bool is_integer = true;
    if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_integer = false;
      digits += '.';
      end = read_digits(end + 1, digits);
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const std::size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        is_integer = false;
        digits += source_.substr(end, 1 + sign);
        end = read_digits(end + 1 + sign, digits);
      }
    }
    put(is_integer ? TokenKind::integer : TokenKind::number, digits);
    advance(end - at_);
    return {};
  }

  Status read_string() {
    const char quote = rest()[0];
    std::size_t end = 1;
    while (end < rest().size() && rest()[end] != quote) end += rest()[end] == '\\' ? 2 : 1;
    if (end >= rest().size()) return fail("a string is not closed");
    put(TokenKind::string, unescape(rest().substr(1, end - 1)));
    advance(end + 1);
    return {};
  }

  // Replaces Python's escape sequences. Unknown ones stay unchanged.
  static std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      const char kind = text[++i];
      constexpr std::string_view kNames = "ntrabfv\\'\"";
      constexpr std::string_view kValues = "\n\t\r\a\b\f\v\\'\"";
      const std::size_t digit_count = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
      const std::string_view digits = text.substr(i + 1, digit_count);
      std::uint32_t value = 0;
      if (const std::size_t index = kNames.find(kind); index != std::string_view::npos) {
        out += kValues[index];
      } else if (kind >= '0' && kind <= '7') {
        const std::string_view octal = text.substr(i, std::min<std::size_t>(3, text.substr(i).find_first_not_of("01234567")));
        std::from_chars(octal.data(), octal.data() + octal.size(), value, 8);
        append_utf8(out, static_cast<char32_t>(value));
        i += octal.size() - 1;
      } else if (digit_count > 0 && digits.size() == digit_count &&
                 std::from_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr == digits.data() + digits.size()) {
        const bool is_character = value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
        append_utf8(out, is_character ? static_cast<char32_t>(value) : U'\uFFFD');
        i += digit_count;
      } else if (kind != '\n') {
        out += '\\';
        out += kind;
      }
    }
    return out;
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;  // the last thing read ended with a newline
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace slora::jinja
