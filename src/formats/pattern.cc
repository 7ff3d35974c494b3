#include "formats/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/check.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::size_t kKeyBytesMax = 512;
constexpr std::size_t kPathBytesMax = 512;
constexpr std::uint32_t kMatchSteps = 10'000;  // an ordinary key needs about a hundred
constexpr std::uint32_t kMatchDepth = 1'000;
constexpr std::uint32_t kMatchHeapKib = 1'024;

tl::unexpected<Error> refuse_pattern(std::string_view key, std::string_view why) {
  return error("E_PATTERN", "pattern {}: {}", quote(key), why);
}

bool is_plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

// Escapes with the same meaning in Python and PCRE2.
bool is_common_escape(char c) {
  constexpr std::string_view kLetters = "AbBdDsSwWnrtfa";
  const bool is_alphanumeric = is_plain_character(c) && c != '_' && c != '-' && c != '.';
  return !is_alphanumeric || (c >= '0' && c <= '9') || kLetters.find(c) != std::string_view::npos;
}

// PCRE2 has syntax that Python lacks, and some with another meaning: a key that uses it would not match as it does in PEFT. Returns
// a description of the first such construct, or nothing.
std::optional<std::string> foreign_syntax(std::string_view text) {
  constexpr std::array<std::string_view, 8> kGroups = {":", "=", "!", "<=", "<!", "P<", "P=", ">"};
  bool in_class = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i + 1);
    switch (text[i]) {
      case '\\':
        if (rest.empty() || !is_common_escape(rest.front())) return "an escape that is not supported";
        ++i;
        break;
      case '[':
        if (in_class && (rest.starts_with(':') || rest.starts_with('.') || rest.starts_with('='))) return "a named character class";
        if (in_class) break;
        in_class = true;
        i += rest.starts_with('^') ? 1 : 0;
        i += text.substr(i + 1).starts_with(']') ? 1 : 0;  // in this position it is a literal
        break;
      case ']':
        in_class = false;
        break;
      case '(':
        if (in_class) break;
        if (rest.starts_with('*')) return "a verb";
        if (rest.starts_with('?') &&
            std::none_of(kGroups.begin(), kGroups.end(), [&](std::string_view group) { return rest.substr(1).starts_with(group); })) {
          return "a kind of group that is not supported";
        }
        break;
      case '{':
        if (!in_class && rest.starts_with(',')) return "a repeat without a lower end";
        break;
      default:
        break;
    }
  }
  return std::nullopt;
}

struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// Whether `path` is `key`, or ends with '.' and `key`, where '.' in the key stands for any character.
bool matches_plain(std::string_view key, std::string_view path) {
  if (path.size() < key.size()) return false;
  const std::string_view end = path.substr(path.size() - key.size());
  const bool begins_component = end.size() == path.size() || path[path.size() - key.size() - 1] == '.';
  return begins_component && std::equal(key.begin(), key.end(), end.begin(), [](char k, char p) { return k == '.' || k == p; });
}

}  // namespace

Result<ModulePattern> ModulePattern::compile(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax) {
    return refuse_pattern(key, fmt::format("expected 1 to {} bytes, found {}", kKeyBytesMax, key.size()));
  }
  ModulePattern pattern(key);
  if (std::all_of(key.begin(), key.end(), is_plain_character)) return pattern;
  const std::string group = fmt::format("({})", key);  // the key may begin with "?", which makes it a special group
  if (const std::optional<std::string> foreign = foreign_syntax(group)) {
    return refuse_pattern(key, fmt::format("expected an expression that Python and PCRE2 read alike, found {}", *foreign));
  }
  const std::string whole = fmt::format("(.*\\.)?{}$", group);
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(pcre2_compile_context_create(nullptr));
  check(context != nullptr, "expected PCRE2 to allocate a compile context");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE at = 0;
  pattern.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(whole.data()), whole.size(),
                                    PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, context.get()));
  if (pattern.code_ == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(code, message.data(), message.size());
    return refuse_pattern(key, fmt::format("expected a regular expression, found: {}", reinterpret_cast<const char*>(message.data())));
  }
  return pattern;
}

Result<bool> ModulePattern::matches(std::string_view path) const {
  const bool printable = std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (path.size() > kPathBytesMax || !printable) {
    return refuse_pattern(key_,
                          fmt::format("expected a module path of at most {} printable characters, found {}", kPathBytesMax, quote(path)));
  }
  if (is_plain()) return matches_plain(key_, path);
  const std::unique_ptr<pcre2_match_context, FreeMatchContext> context(pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  check(context != nullptr && data != nullptr, "expected PCRE2 to allocate a match context and match data");
  pcre2_set_match_limit(context.get(), kMatchSteps);
  pcre2_set_depth_limit(context.get(), kMatchDepth);
  pcre2_set_heap_limit(context.get(), kMatchHeapKib);
  const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(path.data()), path.size(), 0, 0, data.get(), context.get());
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  return refuse_pattern(key_, fmt::format("expected a match of {} within {} steps, found none", quote(path), kMatchSteps));
}

void ModulePattern::Release::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

}  // namespace slora
