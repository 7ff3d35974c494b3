#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct pcre2_real_code_8;

namespace slora {

// PEFT's rule for the keys of rank_pattern and alpha_pattern: KEY matches a module path when Python's
// re.match("(.*\.)?(KEY)$", path) does. Regular expressions come from strangers: their syntax is held to what Python and
// PCRE2 understand alike, their length, backtracking and memory are bounded. Constant after compile(); any thread.
class ModulePattern {
 public:
  // E_PATTERN when the key is too long, or no expression, or one that Python reads otherwise.
  static Result<ModulePattern> compile(std::string_view key);

  // E_PATTERN when the bounds are reached.
  [[nodiscard]] Result<bool> matches(std::string_view path) const;
  [[nodiscard]] const std::string& key() const { return key_; }
  // Whether the key is a plain path (with Python's meaning of '.'): such keys cost nothing to match.
  [[nodiscard]] bool is_plain() const { return code_ == nullptr; }

 private:
  explicit ModulePattern(std::string_view key) : key_(key) {}

  struct Release {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::string key_;
  std::unique_ptr<pcre2_real_code_8, Release> code_;
};

}  // namespace slora
