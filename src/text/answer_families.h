#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/answer_format.h"

namespace slora {

// How a family of models writes a call that it is made to write: before and after the arguments. `{name}` stands for the function's.
struct ForcedCallForm {
  std::string_view begin, end;
  std::string_view separator;       // between calls
  std::string_view before, after;   // of all calls together
  std::string_view trigger;         // what a call begins with in free text; empty: there are calls alone or none
  std::string_view style = "json";  // of the arguments, as xgrammar names it, or "python"
};

// A family of models whose answers have one form: for tool calls, for reasoning, or both.
struct AnswerFamily {
  std::string_view name;
  std::string_view aliases;            // other names that it goes by, separated by spaces
  std::string_view response_template;  // JSON
  std::optional<ForcedCallForm> forced = {};
  std::string_view open_token = {}, close_token = {};  // that mark reasoning, where each is one token
};

[[nodiscard]] std::span<const AnswerFamily> call_families();
[[nodiscard]] std::span<const AnswerFamily> reasoning_families();
// By name or alias; null: there is none.
[[nodiscard]] const AnswerFamily* find_family(std::span<const AnswerFamily> families, std::string_view name);

// What a model's files say about its answers.
struct AnswerClues {
  std::string_view chat_templates;  // all of them, one after the other
  bool has_args_token = false;      // the vocabulary has Mistral's [ARGS]
};
// The family whose templates have such words; null: none.
[[nodiscard]] const AnswerFamily* detect_call_family(const AnswerClues& clues);
[[nodiscard]] const AnswerFamily* detect_reasoning_family(const AnswerClues& clues);

// One format of both; either may be null.
[[nodiscard]] AnswerFormat make_answer_format(const AnswerFamily* calls, const AnswerFamily* reasoning);

}  // namespace slora
