#include "server/slora_format.h"

#include <fmt/format.h>

#include <string_view>

#include "server/json_text.h"

namespace slora {

std::string SloraFormat::body(const Answer& answer) const {
  const AnsweredChoice& choice = answer.choices.front();
  std::string out = R"({"generated_text":[)";
  append_json_string(out, choice.text);
  out += fmt::format(R"(],"count_output_tokens":{})", choice.tokens.size());
  if (answer.request.spec.return_details) {
    out += R"(,"tokens":)";
    append_json_list(out, choice.tokens, [&](const AnsweredToken& token) {
      out += fmt::format(R"({{"id":{},"logprob":)", token.token.id);
      append_json_number(out, token.token.logprob);
      out += R"(,"text":)";
      append_json_string(out, told_text(tokenizer_, token.token.id));
      out += "}";
    });
  }
  return out + "}";
}

std::string SloraFormat::part_event(const Answer& answer, const NewPart& part) const {
  const AnsweredChoice& choice = answer.choices[part.choice_index];
  std::string out = R"({"token":{"id":)";
  if (part.token_begin < choice.tokens.size()) {
    out += fmt::format(R"({},"text":)", choice.tokens[part.token_begin].token.id);
  } else {
    out += R"(null,"text":)";
  }
  append_json_string(out, std::string_view(choice.text).substr(part.text_begin));
  out += R"(,"logprob":)";
  if (part.token_begin < choice.tokens.size()) {
    append_json_number(out, choice.tokens[part.token_begin].token.logprob);
  } else {
    out += "null";
  }
  out += R"(,"special":false},"generated_text":null,"finished":)";
  out += choice.finish_reason.empty() ? "false" : "true";
  out += R"(,"details":null})";
  return sse_event(out);
}

}  // namespace slora
