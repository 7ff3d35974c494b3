#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/utf8.h"

struct pcre2_real_code_8;

namespace slora {

// A regular expression of a tokenizer.json. Those are written for Oniguruma: constructs that PCRE2 interprets differently
// are translated, or refused (docs/decisions/006-which-regex-engine-reads-tokenizer-patterns.md). Immutable; any number of threads.
class Regex {
 public:
  [[nodiscard]] static Result<Regex> compile(std::string_view pattern);
  // A pattern that matches `text` itself.
  [[nodiscard]] static Result<Regex> compile_literal(std::string_view text);

  // All matches from left to right, the same as Oniguruma's iterator yields. Fails if the pattern backtracks too often on `text`
  // or takes too long for its length, which the patterns of published tokenizers never do. Requires: `text` is valid UTF-8.
  [[nodiscard]] Result<std::vector<TextRange>> find_all(std::string_view text) const;
  // The same, one after the other: a text may have a match at every byte.
  using Visit = std::function<void(const TextRange& match)>;
  Status visit_all(std::string_view text, const Visit& visit) const;

 private:
  struct Release {
    void operator()(pcre2_real_code_8* code) const;
  };
  Status match_all(std::string_view text, const Visit& visit) const;
  explicit Regex(pcre2_real_code_8* code) : code_(code, Release{}) {}

  std::shared_ptr<const pcre2_real_code_8> code_;  // shared, so that steps with a pattern are copyable
};

}  // namespace slora
