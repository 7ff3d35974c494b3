#include "api/slora_format.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "api/json_text.h"

namespace slora {

std::string SloraFormat::body(const Answer& answer) const {
  const AnsweredChoice& choice = answer.choices.front();
  std::string out = R"({"generated_text":[)";
  append_json_string(out, choice.text);
  out += fmt::format(R"(],"count_output_tokens":{})", choice.tokens.size());
  if (answer.request.spec.slora.return_details) {
    out += R"(,"tokens":)";
    append_json_list(out, choice.tokens, [&](const Token& token) {
      out += fmt::format(R"({{"id":{},"logprob":)", token.id);
      append_json_number(out, token.logprob);
      out += R"(,"text":)";
      append_json_string(out, display_text(tokenizer_, token.id));
      out += "}";
    });
  }
  return out + "}";
}

std::vector<std::string> SloraFormat::part_messages(const AnswerPart& part) {
  const std::span<const Token> tokens = part.tokens();
  std::string out = R"({"token":{"id":)";
  if (!tokens.empty()) {
    out += fmt::format(R"({},"text":)", tokens.front().id);
  } else {
    out += R"(null,"text":)";
  }
  append_json_string(out, part.text());
  out += R"(,"logprob":)";
  if (!tokens.empty()) {
    append_json_number(out, tokens.front().logprob);
  } else {
    out += "null";
  }
  out += R"(,"special":false},"generated_text":null,"finished":)";
  out += part.choice().finish_reason.empty() ? "false" : "true";
  out += R"(,"details":null})";
  return {std::move(out)};
}

}  // namespace slora
