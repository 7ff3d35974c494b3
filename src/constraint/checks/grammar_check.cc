#include "constraint/checks/grammar_check.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <map>
#include <system_error>
#include <vector>

#include "constraint/checks/regex_check.h"
#include "formats/json.h"

namespace slora {
namespace {

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.'; }

// Finds the counted repetitions of a grammar. One thread; used once.
class GrammarReader {
 public:
  explicit GrammarReader(std::string_view text) : text_(text) {}

  Status read() {
    while (skip_to_token()) {
      if (Status taken = take(); !taken) return taken;
    }
    if (!groups_.empty()) return refuse("bad_constraint", "'(' without ')'");
    if (rules_.empty()) return refuse("bad_constraint", "expected rules such as root ::= \"a\" | \"b\", found none");
    if (!rules_.contains("root")) return refuse("bad_constraint", "expected a rule named root");
    for (auto& [name, rule] : rules_) {
      if (const std::int64_t product = product_of(rule); product > kNestedCountMax && rule.nested) {
        return error(
            "unsupported_constraint",
            "The grammar: counted repetitions within each other in the rule {}: expected a product of at most {}, found {} or more",
            quote(name), kNestedCountMax, product);
      }
    }
    return {};
  }

 private:
  struct Reference {
    std::string_view name;
    std::int64_t product;  // of the counts around it
  };
  struct Rule {
    std::int64_t product = 1;  // the largest of counts within each other
    bool nested = false;       // of two counts or more
    std::vector<Reference> references;
    bool is_known = false, is_open = false;
  };
  // What a repetition may follow, and what it repeats.
  struct Element {
    std::int64_t product = 1;
    std::size_t references_begin = 0;
  };

  template <class... Args>
  tl::unexpected<Error> refuse(const char* code, fmt::format_string<Args...> format, Args&&... args) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, at_), '\n');
    return error(code, "The grammar, line {}: {}", line, fmt::format(format, std::forward<Args>(args)...));
  }

  bool skip_to_token() {
    while (at_ < text_.size()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else {
        return true;
      }
    }
    return false;
  }

  Status take() {
    const char c = text_[at_];
    if (c == '"' || c == '\'' || c == '[') return take_quoted(c == '[' ? ']' : c);
    if (is_name_character(c)) return take_name();
    if (c == '(') {
      if (text_.substr(at_ + 1, 1) == "=") return refuse("unsupported_constraint", "look-ahead is not served");
      if (groups_.size() >= static_cast<std::size_t>(kGroupDepthMax))
        return refuse("unsupported_constraint", "expected at most {} groups in each other", kGroupDepthMax);
      ++at_;
      groups_.push_back({1, reference_count()});
      return {};
    }
    if (c == ')') {
      if (groups_.empty()) return refuse("bad_constraint", "')' without '('");
      ++at_;
      last_ = groups_.back();
      groups_.pop_back();
      note(last_.product);
      return {};
    }
    if (c == '{') return take_count();
    if (c == '/') return refuse("unsupported_constraint", "regular expressions within grammars are not served");
    ++at_;
    return {};
  }

  Status take_quoted(char end) {
    const std::size_t begin = at_++;
    for (; at_ < text_.size() && text_[at_] != end; ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
        if (is_surrogate(escaped_code()))
          return refuse("unsupported_constraint", "the escape \\{} is half of a character; write the character itself",
                        text_.substr(at_, 5));
      }
      if (at_ < text_.size() && text_[at_] == '\n') break;
    }
    if (at_ >= text_.size() || text_[at_] != end) {
      at_ = begin;
      return refuse("bad_constraint", "{} without its end", text_.substr(begin, 1));
    }
    ++at_;
    last_ = {1, reference_count()};
    return {};
  }

  // The code of an escape with a number in hexadecimal digits, after its backslash; 0: it has none.
  [[nodiscard]] std::uint32_t escaped_code() const {
    const std::size_t digits = text_.substr(at_).starts_with('u') ? 4 : text_.substr(at_).starts_with('U') ? 8 : 0;
    std::uint32_t code = 0;
    const std::string_view number = text_.substr(std::min(at_ + 1, text_.size()), digits);
    const auto [after, failure] = std::from_chars(number.data(), number.data() + number.size(), code, 16);
    return failure == std::errc() && digits > 0 && after == number.data() + digits ? code : 0;
  }

  Status take_name() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    const std::size_t after = at_;
    const bool has_more = skip_to_token();
    if (has_more && text_.substr(at_).starts_with("::=")) {
      at_ += 3;
      if (!groups_.empty()) return refuse("bad_constraint", "'(' without ')' before the rule {}", quote(name));
      if (rules_.size() >= kRulesMax) return refuse("unsupported_constraint", "expected at most {} rules", kRulesMax);
      if (rules_.contains(name)) return refuse("bad_constraint", "a second rule {}", quote(name));
      rule_ = &rules_[name];
      return {};
    }
    if (rule_ == nullptr) return refuse("bad_constraint", "expected a rule such as root ::= \"a\" | \"b\", found {}", quote(name));
    // A function is a name with its bracket; a group may follow a rule after a space.
    if (has_more && text_[at_] == '(' && at_ == after)
      return refuse("unsupported_constraint", "the function {} is not served", quote(name));
    last_ = {1, rule_->references.size()};
    rule_->references.push_back({name, 1});
    at_ = after;
    return {};
  }

  Status take_count() {
    const std::size_t end = text_.find('}', at_);
    const std::string_view inside = text_.substr(at_ + 1, end == std::string_view::npos ? 0 : end - at_ - 1);
    std::int64_t most = -1, number = -1;
    for (const char c : inside) {
      if (c >= '0' && c <= '9' && number < 1000000) number = std::max<std::int64_t>(number, 0) * 10 + (c - '0');
      most = std::max(most, number);
      if (c == ',') number = -1;
      if (c != ',' && c != ' ' && (c < '0' || c > '9')) return refuse("bad_constraint", "expected {{m}}, {{m,}} or {{m,n}}");
    }
    if (most < 0) return refuse("bad_constraint", "expected {{m}}, {{m,}} or {{m,n}}");
    if (most > kCountMax) return refuse("unsupported_constraint", "expected a count of at most {}, found {}", kCountMax, most);
    if (rule_ == nullptr) return refuse("bad_constraint", "a count before the first rule");
    at_ = end + 1;
    const std::int64_t count = std::max<std::int64_t>(most, 1);
    if (last_.product > 1) rule_->nested = true;
    last_.product = std::min(last_.product * count, kProductMax);
    for (std::size_t i = last_.references_begin; i < rule_->references.size(); ++i)
      rule_->references[i].product = std::min(rule_->references[i].product * count, kProductMax);
    note(last_.product);
    return {};
  }

  // A repetition within the current group.
  void note(std::int64_t product) {
    if (!groups_.empty()) groups_.back().product = std::max(groups_.back().product, product);
    if (rule_ != nullptr) rule_->product = std::max(rule_->product, product);
  }

  [[nodiscard]] std::size_t reference_count() const { return rule_ == nullptr ? 0 : rule_->references.size(); }

  // With those of the rules that it refers to. A rule within itself counts once.
  std::int64_t product_of(Rule& rule) {
    if (rule.is_known || rule.is_open) return rule.product;
    rule.is_open = true;
    for (const Reference& reference : rule.references) {
      const auto found = rules_.find(reference.name);
      if (found == rules_.end() || found->second.is_open) continue;
      const std::int64_t inner = product_of(found->second);
      if ((inner > 1 && reference.product > 1) || found->second.nested) rule.nested = true;
      rule.product = std::max(rule.product, std::min(inner * reference.product, kProductMax));
    }
    rule.is_open = false;
    rule.is_known = true;
    return rule.product;
  }

  static constexpr std::int64_t kProductMax = std::int64_t{1} << 30;

  const std::string_view text_;
  std::size_t at_ = 0;
  std::map<std::string_view, Rule> rules_;
  Rule* rule_ = nullptr;  // that is being read
  std::vector<Element> groups_;
  Element last_;
};

}  // namespace

Status check_grammar(std::string_view grammar) { return GrammarReader(grammar).read(); }

std::string grammar_of_choices(std::span<const std::string> choices) {
  std::string grammar = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != choices.data()) grammar += " | ";
    grammar += '"';
    for (const char c : choice) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f) {
        grammar += fmt::format("\\x{:02x}", byte);
      } else {
        if (c == '"' || c == '\\') grammar += '\\';
        grammar += c;
      }
    }
    grammar += '"';
  }
  return grammar + "\n";
}

}  // namespace slora
