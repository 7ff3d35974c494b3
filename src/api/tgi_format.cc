#include "api/tgi_format.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "api/json_text.h"

namespace slora {
namespace {

std::string_view tgi_finish_reason(const AnsweredChoice& choice) {
  if (choice.finish_reason == "length") return "length";
  return choice.stop_reason.empty() ? "eos_token" : "stop_sequence";
}

// What a part adds to the output: the prompt comes with the first part when it is echoed, and is no part of a token's text.
std::string_view output_text(const AnswerPart& part) {
  const std::size_t echoed = part.answer.request.prompts[part.choice().prompt_index].echo.size();
  const std::size_t begin = std::max(part.text_begin, std::min(echoed, part.choice().text.size()));
  return std::string_view(part.choice().text).substr(begin);
}

}  // namespace

std::string TgiFormat::body(const Answer& answer) const {
  const TgiSpec& spec = answer.request.spec.tgi;
  std::string out = spec.in_list ? R"([{"generated_text":)" : R"({"generated_text":)";
  append_json_string(out, answer.choices.front().text);
  if (spec.details) append_details(out, answer);
  out += spec.in_list ? "}]" : "}";
  return out;
}

// Without a token of its own, a part repeats the last one: clients expect one in each event, and add up the texts.
std::vector<std::string> TgiFormat::part_messages(const AnswerPart& part) {
  const RequestSpec& spec = part.answer.request.spec;
  const AnsweredChoice& choice = part.choice();
  std::string out = fmt::format(R"({{"index":{},"token":)", choice.tokens.size());
  const Token token = choice.tokens.empty() ? Token{} : choice.tokens.back();
  append_token(out, spec, token, output_text(part));
  if (spec.tgi.top_tokens) {
    out += R"(,"top_tokens":)";
    append_likely(out, token);
  }
  if (choice.finish_reason.empty()) return {out + R"(,"generated_text":null,"details":null})"};
  out += R"(,"generated_text":)";
  append_json_string(out, choice.text);
  out += R"(,"details":{)";
  append_outcome(out, part.answer);
  return {out + "}}"};
}

void TgiFormat::append_details(std::string& out, const Answer& answer) const {
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = answer.choices.front();
  out += R"(,"details":{)";
  append_outcome(out, answer);
  out += R"(,"prefill":)";
  append_prompt(out, answer);
  out += R"(,"tokens":)";
  append_json_list(out, choice.tokens, [&](const Token& token) { append_token(out, spec, token, display_text(tokenizer_, token.id)); });
  if (spec.tgi.top_tokens) {
    out += R"(,"top_tokens":)";
    append_json_list(out, choice.tokens, [&](const Token& token) { append_likely(out, token); });
  }
  out += "}";
}

// prompt_tokens is LoRAX's, input_length TGI's.
void TgiFormat::append_outcome(std::string& out, const Answer& answer) const {
  const Usage usage = answer.usage();
  const std::optional<std::int64_t>& seed = answer.request.spec.seed;
  out += fmt::format(R"("finish_reason":"{}","prompt_tokens":{},"input_length":{},"generated_tokens":{},"seed":{})",
                     tgi_finish_reason(answer.choices.front()), usage.prompt_tokens, usage.prompt_tokens, usage.completion_tokens,
                     seed ? fmt::format("{}", *seed) : "null");
}

// The prompt's tokens if they were asked for; the first of a prompt has no log-probability.
void TgiFormat::append_prompt(std::string& out, const Answer& answer) const {
  const SharedTokens& prompt = answer.prompt_tokens_of(answer.choices.front());
  const std::vector<PromptLogprob>& scores = answer.prompts.front().logprobs;
  const bool asked = answer.request.spec.tgi.prompt_details && scores.size() + 1 == prompt.size();
  out += "[";
  for (std::size_t i = 0; asked && i < prompt.size(); ++i) {
    out += fmt::format(R"({}{{"id":{},"text":)", i == 0 ? "" : ",", prompt[i]);
    append_json_string(out, display_text(tokenizer_, prompt[i]));
    out += R"(,"logprob":)";
    if (i == 0) {
      out += "null";
    } else {
      append_json_number(out, scores[i - 1].token.logprob);
    }
    out += "}";
  }
  out += "]";
}

// Clients leave the texts of special tokens out. So one that brings text held back before it is not called special.
void TgiFormat::append_token(std::string& out, const RequestSpec& spec, const Token& token, std::string_view text) const {
  const std::string own = display_text(tokenizer_, token.id);
  const bool is_special = tokenizer_.is_special(token.id) && (text.empty() || text == own);
  out += fmt::format(R"({{"id":{},"text":)", token.id);
  append_json_string(out, is_special ? std::string_view(own) : text);
  out += R"(,"logprob":)";
  append_json_number(out, token.logprob);
  out += fmt::format(R"(,"special":{})", is_special);
  if (spec.tgi.alternatives) {
    out += R"(,"alternative_tokens":)";
    append_likely(out, token);
  }
  out += "}";
}

void TgiFormat::append_likely(std::string& out, const Token& token) const {
  append_json_list(out, token.top, [&](const TokenLogprob& top) {
    out += fmt::format(R"({{"id":{},"text":)", top.token);
    append_json_string(out, display_text(tokenizer_, top.token));
    out += R"(,"logprob":)";
    append_json_number(out, top.logprob);
    out += fmt::format(R"(,"special":{}}})", tokenizer_.is_special(top.token));
  });
}

}  // namespace slora
