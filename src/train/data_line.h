#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/json.h"
#include "text/utf8.h"

namespace slora {

// What one line of training data holds, by its form (docs/training.md). Texts are as the file has them.

struct ConversationLine {
  std::vector<Json> messages;    // as OpenAI's API takes them, arguments of tool calls as objects
  std::vector<bool> is_learned;  // [messages]: an assistant's turn that is to be learned
  Json tools;                    // a list; null: none
};
// A text that is continued.
struct CompletionLine {
  std::string prompt, completion;
};
struct TextLine {
  std::string text;
};
// A text of which parts are learned, with all its special tokens.
struct SegmentsLine {
  std::string text;
  std::vector<TextRange> labels;
};
struct TokensLine {
  std::vector<TokenId> ids;
  std::vector<bool> labels;  // [ids]
};

struct DataLine {
  std::variant<ConversationLine, CompletionLine, TextLine, SegmentsLine, TokensLine> content;
  std::vector<std::string> unknown_keys;  // of the object; they change nothing
};

// E_BAD_JSON, or E_DATA naming the key, what was expected and what was found. `vocabulary_size`: of the model; ids are below it.
[[nodiscard]] Result<DataLine> parse_data_line(std::string_view text, std::int32_t vocabulary_size);

}  // namespace slora
