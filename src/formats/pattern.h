#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct pcre2_real_code_8;

namespace slora {

// PEFT's rule for the keys of rank_pattern and alpha_pattern: KEY matches a module path when Python's
// re.match("(.*\.)?(KEY)$", path) does. The expressions are untrusted input: only syntax with the same meaning in Python
// and PCRE2 is accepted, and length, backtracking and memory are bounded. Constant after compile(); any thread.
class ModulePattern {
 public:
  // E_PATTERN if the key is too long, no valid expression, or one that Python interprets differently.
  static Result<ModulePattern> compile(std::string_view key);

  // E_PATTERN if the limits are exceeded.
  [[nodiscard]] Result<bool> matches(std::string_view path) const;
  [[nodiscard]] const std::string& key() const { return key_; }
  // Whether the key is a plain path (with Python's meaning of '.'): such keys are matched without PCRE2.
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
