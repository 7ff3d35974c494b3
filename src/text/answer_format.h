#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "text/stream_pattern.h"

namespace slora {

// JSON as some models write it, as opposed to the standard.
struct JsonDialect {
  bool unquoted_keys = false;
  std::vector<std::pair<std::string, std::string>> string_delims;  // what opens and closes a string, in addition to quotes
  [[nodiscard]] bool is_standard() const { return !unquoted_keys && string_delims.empty(); }
};

// How the calls in a field are written.
struct CallForm {
  enum class Body : std::uint8_t {
    json,    // an object with name and arguments, a list of them, or the arguments alone
    pairs,   // the arguments, each as a key and a value between marks
    python,  // f(a=1, b="x"), in brackets or not
  };
  Body body = Body::json;
  std::string name_group;                   // of the opening or closing mark's pattern; empty: the name is in the body
  std::string name_key = "name";            // in the body
  std::string arguments_key = "arguments";  // in the body; where it is "arguments" or "parameters" both are read
  JsonDialect dialect;
  std::optional<StreamPattern> pair_head, pair_tail;  // what comes before the value, with the group "key", and after it
};

// A stretch of an answer that begins and ends with marks.
struct AnswerField {
  enum class Role : std::uint8_t { content, reasoning, calls, dropped };
  std::string name;
  Role role = Role::content;
  std::optional<StreamPattern> open;   // none: what no other field takes
  std::optional<StreamPattern> close;  // none: JSON and Python bodies end by themselves, others with the answer
  CallForm call;
};

// What a model's answers are made of: transformers' `response_template`, by which reasoning, tool calls and content are told apart. Data
// only; AnswerParser follows it. Const once made; shared by requests.
struct AnswerFormat {
  std::vector<AnswerField> fields;
  std::optional<StreamPattern> start;  // after the last match in the prompt the answer begins; none: after the prompt

  // A model's own. Errors are E_ANSWER_FORMAT and name the field and key.
  [[nodiscard]] static Result<AnswerFormat> from_json(const Json& response_template);

  [[nodiscard]] bool has(AnswerField::Role role) const;
  // Whether a token with this text is part of a mark.
  [[nodiscard]] bool is_in_mark(std::string_view token_text) const;
};

}  // namespace slora
