#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora::jinja {

enum class TokenKind { text, output_begin, output_end, tag_begin, tag_end, name, string, integer, number, symbol, end };

// A token of a template. `text` is its value: a string without quotes and escapes, digits without underscores.
struct Token {
  TokenKind kind;
  std::string text;
  int line;
};

// Splits a template into tokens, the last of kind `end`. Comments, raw blocks and white space control ({%-, and trim_blocks and
// lstrip_blocks as in transformers) are resolved here.
[[nodiscard]] Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace slora::jinja
