#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/utf8.h"

struct pcre2_real_code_8;

namespace slora {

// A regular expression of a tokenizer.json. Those are written for Oniguruma; what PCRE2 reads otherwise is rewritten, or
// refused. Immutable; any number of threads.
class Regex {
 public:
  [[nodiscard]] static Result<Regex> compile(std::string_view pattern);
  // A pattern that matches `text` itself.
  [[nodiscard]] static Result<Regex> compile_literal(std::string_view text);

  // All matches from left to right, as Oniguruma's iterator yields them. Refused when the pattern backtracks too often on
  // `text`, which the patterns of published tokenizers never do. Requires: `text` is valid UTF-8.
  [[nodiscard]] Result<std::vector<TextRange>> find_all(std::string_view text) const;

 private:
  struct Release {
    void operator()(pcre2_real_code_8* code) const;
  };
  [[nodiscard]] Result<std::vector<TextRange>> find_all_known(std::string_view text) const;
  explicit Regex(pcre2_real_code_8* code) : code_(code, Release{}) {}

  std::shared_ptr<const pcre2_real_code_8> code_;  // shared so that steps which hold a pattern stay copyable values
};

}  // namespace slora
