#include "api/sglang_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "api/json_text.h"

namespace slora {
namespace {

bool is_list(const RequestSpec& spec) { return spec.prompt.is_list || spec.output.n > 1; }

}  // namespace

std::string SglangFormat::body(const Answer& answer) const {
  std::string out;
  const auto append = [&](std::size_t choice_index) { append_choice(out, answer, choice_index); };
  if (is_list(answer.request.spec)) {
    append_json_list(out, std::views::iota(std::size_t{0}, answer.choices.size()), append);
  } else {
    append(0);
  }
  return out;
}

std::vector<std::string> SglangFormat::part_messages(const AnswerPart& part) {
  std::string out;
  append_choice(out, part.answer, part.choice_index);
  return {std::move(out)};
}

std::vector<std::string> SglangFormat::end_messages(const Answer&) { return {"[DONE]"}; }

void SglangFormat::append_choice(std::string& out, const Answer& answer, std::size_t choice_index) const {
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = answer.choices[choice_index];
  const Usage usage = answer.usage_of(choice);
  out += R"({"text":)";
  append_json_string(out, choice.text);
  out += R"(,"output_ids":)";
  append_json_list(out, choice.tokens, [&](const Token& token) { out += fmt::format("{}", token.id); });
  out += R"(,"meta_info":{"id":)";
  const std::string id = spec.sglang.rid.empty() ? fmt::format("{:016x}", random_) : spec.sglang.rid;
  append_json_string(out, is_list(spec) ? fmt::format("{}_{}", id, choice_index) : id);
  out += R"(,"finish_reason":)";
  append_finish_reason(out, choice);
  out += fmt::format(R"(,"prompt_tokens":{},"completion_tokens":{},"cached_tokens":{})", usage.prompt_tokens, usage.completion_tokens,
                     usage.cached_tokens);
  if (spec.output.logprobs) append_logprobs(out, answer, choice);
  out += "}";
  if (is_list(spec)) out += fmt::format(R"(,"index":{})", choice_index);
  out += "}";
}

void SglangFormat::append_finish_reason(std::string& out, const AnsweredChoice& choice) const {
  if (choice.finish_reason.empty()) {
    out += "null";
  } else if (choice.finish_reason == "length") {
    out += fmt::format(R"({{"type":"length","length":{}}})", choice.tokens.size());
  } else if (!choice.stop_reason.empty()) {
    out += fmt::format(R"({{"type":"stop","matched":{}}})", choice.stop_reason);
  } else if (choice.is_complete) {
    out += R"({"type":"stop","matched":null})";
  } else {
    out += fmt::format(R"({{"type":"stop","matched":{}}})", choice.tokens.back().id);  // an end token of the model
  }
}

void SglangFormat::append_logprobs(std::string& out, const Answer& answer, const AnsweredChoice& choice) const {
  const RequestSpec& spec = answer.request.spec;
  append_prompt_logprobs(out, answer, choice);
  out += R"(,"output_token_logprobs":)";
  append_json_list(out, choice.tokens, [&](const Token& token) { append_logprob(out, spec, token.id, &token.logprob); });
  if (*spec.output.logprobs == 0) return;
  out += R"(,"output_top_logprobs":)";
  append_json_list(out, choice.tokens, [&](const Token& token) {
    append_json_list(out, token.top, [&](const TokenLogprob& top) { append_logprob(out, spec, top.token, &top.logprob); });
  });
}

// Of the prompt's tokens from logprob_start_len on; the first of a prompt has no log-probability.
void SglangFormat::append_prompt_logprobs(std::string& out, const Answer& answer, const AnsweredChoice& choice) const {
  const RequestSpec& spec = answer.request.spec;
  const SharedTokens& prompt = answer.prompt_tokens_of(choice);
  const std::vector<PromptLogprob>& scores = answer.prompts[choice.prompt_index].logprobs;
  const bool asked = spec.output.prompt_logprobs.has_value() && scores.size() + 1 == prompt.size();
  const std::size_t begin = asked ? std::min(static_cast<std::size_t>(spec.sglang.logprob_start_len), prompt.size()) : prompt.size();

  const auto append_positions = [&](const char* name, auto append) {
    out += fmt::format(R"(,"{}":)", name);
    append_json_list(out, std::views::iota(begin, prompt.size()), append);
  };
  append_positions("input_token_logprobs", [&](std::size_t position) {
    append_logprob(out, spec, prompt[position], position == 0 ? nullptr : &scores[position - 1].token.logprob);
  });
  if (*spec.output.logprobs == 0) return;
  append_positions("input_top_logprobs", [&](std::size_t position) {
    if (position == 0) {
      out += "null";
    } else {
      append_json_list(out, scores[position - 1].token.top,
                       [&](const TokenLogprob& top) { append_logprob(out, spec, top.token, &top.logprob); });
    }
  });
}

// [log-probability or null, token, text or null]
void SglangFormat::append_logprob(std::string& out, const RequestSpec& spec, TokenId token, const float* logprob) const {
  out += "[";
  if (logprob == nullptr) {
    out += "null";
  } else {
    append_json_number(out, *logprob);
  }
  out += fmt::format(",{},", token);
  if (spec.sglang.return_text_in_logprobs) {
    append_json_string(out, display_text(tokenizer_, token));
  } else {
    out += "null";
  }
  out += "]";
}

}  // namespace slora
