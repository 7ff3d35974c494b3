#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace slora {

// The "normalizer" of a tokenizer.json: steps that rewrite a text before it is split. Immutable; any number of threads.
class Normalizer {
 public:
  // The normalizer of `tokenizer_json`; without one, texts stay unchanged.
  [[nodiscard]] static Result<Normalizer> from_json(const Json& tokenizer_json);

  // Requires: `text` is valid UTF-8.
  [[nodiscard]] Result<std::string> apply(std::string text) const;

 private:
  struct Prepend {
    std::string prefix;
  };
  struct Replace {
    Regex pattern;
    std::string content;
  };
  struct Strip {
    bool left;
    bool right;
  };
  struct Lowercase {};
  struct ByteLevel {};
  using Step = std::variant<UnicodeForm, Prepend, Replace, Strip, Lowercase, ByteLevel>;

  Status add(const Json& step, const std::string& path);
  Result<Step> parse_step(const Json& step, const std::string& type, const std::string& path);

  static Result<std::string> run(const UnicodeForm& step, std::string text);
  static Result<std::string> run(const Prepend& step, std::string text);
  static Result<std::string> run(const Replace& step, std::string text);
  static Result<std::string> run(const Strip& step, std::string text);
  static Result<std::string> run(const Lowercase& step, std::string text);
  static Result<std::string> run(const ByteLevel& step, std::string text);

  std::vector<Step> steps_;
};

}  // namespace slora
