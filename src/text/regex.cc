#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>

#include <array>
#include <optional>
#include <utility>

#include "base/thread_time.h"
#include "text/newer_characters.h"

namespace slora {
namespace {

// Far above the needs of published patterns; low enough that a pattern with exponential backtracking ends soon.
constexpr std::uint32_t kMatchLimit = 5'000'000;
constexpr std::uint32_t kDepthLimit = 1'000'000;
constexpr std::uint32_t kHeapKibibytesMax = 256 << 10;
constexpr std::size_t kJitStackBytesMin = 64 << 10;
constexpr std::size_t kJitStackBytesMax = 64 << 20;  // a repeated group needs some bytes of stack per repetition
constexpr std::size_t kPatternBytesMax = 64 << 10;

// Processor time for one text. PCRE2 does not count how far a match looks ahead, so that a pattern may look at the whole rest of a text
// from each of its places; published patterns use about a fiftieth of this.
constexpr std::int64_t kNanosecondsBase = 50'000'000, kNanosecondsPerByte = 4000;
constexpr std::size_t kMatchesPerLook = 64;  // at the clock

class ProcessorTime {
 public:
  explicit ProcessorTime(std::size_t text_bytes) : limit_(kNanosecondsBase + static_cast<std::int64_t>(text_bytes) * kNanosecondsPerByte) {}

  // Called after each match. Most texts are words that end before the first look.
  [[nodiscard]] bool is_over() {
    if (++match_count_ % kMatchesPerLook != 0) return false;
    if (match_count_ == kMatchesPerLook) begin_ = now();
    return now() - begin_ > limit_;
  }

 private:
  // It does not depend on how busy the machine is.
  static std::int64_t now() { return thread_time().count(); }

  const std::int64_t limit_;
  std::int64_t begin_ = 0;
  std::size_t match_count_ = 0;
};

// Oniguruma's word characters. Inside a class they exclude the superscripts and fractions of Latin-1.
constexpr std::string_view kWordInClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

// Oniguruma's bracket classes, which contain more characters than PCRE2's.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kBracketClasses = {{{"alpha", R"(\p{Alphabetic})"},
                                                                                           {"alnum", R"(\p{Alphabetic}\p{Nd})"},
                                                                                           {"digit", R"(\p{Nd})"},
                                                                                           {"punct", R"(\p{P}\p{S})"},
                                                                                           {"space", R"(\p{White_Space})"},
                                                                                           {"word", kWordInClass},
                                                                                           {"xdigit", "0-9a-fA-F"}}};

tl::unexpected<Error> unsupported(std::string_view what, std::string_view pattern) {
  return error("E_TOKENIZER", "regular expression \"{}\": {} is not supported", pattern, what);
}

// Translates Oniguruma's syntax to PCRE2's where they differ: \s and \w follow other Unicode properties, \h is a hex digit, \u is an
// escape, character classes nest and intersect.
class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> rewrite() {
    while (at_ < pattern_.size()) {
      Status status = pattern_[at_] == '\\' ? rewrite_escape() : rewrite_character();
      if (!status) return forward_error(status);
    }
    return std::move(out_);
  }

 private:
  Status rewrite_escape() {
    if (at_ + 1 == pattern_.size()) return unsupported("a backslash at its end", pattern_);
    const char kind = pattern_[at_ + 1];
    at_ += 2;
    switch (kind) {
      case 's':
        out_ += R"(\p{White_Space})";
        return {};
      case 'S':
        out_ += R"(\P{White_Space})";
        return {};
      case 'w':
        append_class(in_class_ ? kWordInClass : kWord);
        return {};
      case 'h':
        append_class("0-9a-fA-F");
        return {};
      case 'W':
      case 'H':
        if (in_class_) return unsupported(fmt::format("\\{} within a class", kind), pattern_);
        out_ += fmt::format("[^{}]", kind == 'W' ? kWord : "0-9a-fA-F");
        return {};
      case 'b':
      case 'B':
        return append_boundary(kind);
      case 'p':
      case 'P':
        return rewrite_property(kind);
      case 'u':
        if (pattern_.size() - at_ < 4) return unsupported("a short \\u", pattern_);
        out_ += fmt::format("\\x{{{}}}", pattern_.substr(at_, 4));
        at_ += 4;
        return {};
      case 'K':
      case 'G':
      case 'y':
      case 'Y':
      case 'N':
      case 'O':
      case 'g':
      case 'k':
        return unsupported(fmt::format("\\{}", kind), pattern_);
      default:
        out_ += '\\';
        out_ += kind;
        return {};
    }
  }

  // A name that is no general category is a script; PCRE2 by default also matches characters that several scripts share.
  Status rewrite_property(char kind) {
    const std::string_view rest = pattern_.substr(at_);
    const std::size_t end = rest.find('}');
    if (!rest.starts_with('{') || end == std::string_view::npos) return unsupported("a property without braces", pattern_);
    std::string_view name = rest.substr(1, end - 1);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const bool is_script = name.size() > 2 && name != "Any" && name != "Alphabetic";
    out_ += fmt::format("\\{}{{{}{}{}}}", kind, negated ? "^" : "", is_script ? "sc:" : "", name);
    at_ += end + 1;
    return {};
  }

  Status rewrite_character() {
    const std::string_view rest = pattern_.substr(at_);
    if (in_class_) {
      if (rest.starts_with("&&")) return unsupported("an intersection of classes", pattern_);
      if (rest.starts_with("[:")) return rewrite_bracket_class();
      if (rest[0] == '[') return unsupported("a class within a class", pattern_);
      in_class_ = rest[0] != ']';
    } else if (rest[0] == '[') {
      in_class_ = true;
      out_ += '[';
      ++at_;
      if (pattern_.substr(at_).starts_with('^')) out_ += pattern_[at_++];
      return {};
    } else if (rest.starts_with("(*") || rest.starts_with("(?m") || rest.starts_with("(?s") || rest.starts_with("(?x")) {
      return unsupported(fmt::format("\"{}\"", rest.substr(0, 3)), pattern_);
    }
    out_ += rest[0];
    ++at_;
    return {};
  }

  Status rewrite_bracket_class() {
    const std::string_view rest = pattern_.substr(at_);
    for (const auto& [name, members] : kBracketClasses) {
      if (!rest.starts_with(fmt::format("[:{}:]", name))) continue;
      out_ += members;
      at_ += name.size() + 4;
      return {};
    }
    return unsupported(fmt::format("\"{}\"", rest.substr(0, rest.find(']') + 1)), pattern_);
  }

  void append_class(std::string_view members) { out_ += in_class_ ? std::string(members) : fmt::format("[{}]", members); }

  Status append_boundary(char kind) {
    if (in_class_) return unsupported(fmt::format("\\{} within a class", kind), pattern_);
    out_ += kind == 'b' ? fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", kWord)
                        : fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", kWord);
    return {};
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

struct ReleaseMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

Result<pcre2_code*> compile_pcre(std::string_view pattern, std::string_view shown, std::uint32_t options) {
  const std::unique_ptr<pcre2_compile_context, ReleaseMatch> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &code, &offset, context.get());
  if (compiled == nullptr) {
    std::array<PCRE2_UCHAR, 160> message{};
    pcre2_get_error_message(code, message.data(), message.size());
    return error("E_TOKENIZER", "regular expression \"{}\": {}", shown, reinterpret_cast<const char*>(message.data()));
  }
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // if this fails, matching is slower but gives the same results
  return compiled;
}

}  // namespace

void Regex::Release::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) return error("E_TOKENIZER", "a regular expression of {} bytes is too long", pattern.size());
  Result<std::string> rewritten = Rewriter(pattern).rewrite();
  if (!rewritten) return forward_error(rewritten);
  // In Oniguruma's default syntax ^ and $ always match at lines.
  Result<pcre2_code*> code = compile_pcre(*rewritten, pattern, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
  if (!code) return forward_error(code);
  return Regex(*code);
}

Result<Regex> Regex::compile_literal(std::string_view text) {
  Result<pcre2_code*> code = compile_pcre(text, text, PCRE2_UTF | PCRE2_LITERAL);
  if (!code) return forward_error(code);
  return Regex(*code);
}

Result<std::vector<TextRange>> Regex::find_all(std::string_view text) const {
  std::vector<TextRange> matches;
  const Status found = visit_all(text, [&matches](const TextRange& match) { matches.push_back(match); });
  if (!found) return tl::unexpected<Error>(found.error());
  return matches;
}

Status Regex::visit_all(std::string_view text, const Visit& visit) const {
  if (has_newer_characters(text)) return match_all(with_older_characters(text), visit);
  return match_all(text, visit);
}

Status Regex::match_all(std::string_view text, const Visit& visit) const {
  const std::unique_ptr<pcre2_match_data, ReleaseMatch> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, ReleaseMatch> context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapKibibytesMax);
  std::unique_ptr<pcre2_jit_stack, ReleaseMatch> stack;  // allocated when the built-in stack is too small
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());

  ProcessorTime spent(text.size());
  std::size_t at = 0;
  std::optional<std::size_t> last_end;
  while (at <= text.size()) {
    int found = pcre2_match(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && stack == nullptr) {
      stack.reset(pcre2_jit_stack_create(kJitStackBytesMin, kJitStackBytesMax, nullptr));
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      continue;
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0 || spent.is_over()) {
      return error("invalid_request_error",
                   "A text of {} bytes can't be cut into tokens: at byte {} the tokenizer's own pattern needs more steps than are allowed.",
                   text.size(), at);
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const TextRange match{bounds[0], bounds[1]};
    // An empty match directly after the previous match does not count; search again one character later.
    if (match.begin == match.end && last_end == match.end) {
      at += at < text.size() ? first_code_point(text.substr(at)).bytes : 1;
      continue;
    }
    visit(match);
    at = match.end;
    last_end = match.end;
  }
  return {};
}

}  // namespace slora
