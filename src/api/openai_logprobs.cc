#include "api/openai_logprobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "api/json_text.h"

namespace slora {
namespace {

constexpr float kLogprobMin = -9999.0F;  // vLLM's stand-in for minus infinity

// The tokens of a part but those whose text the client leaves out.
std::vector<Token> shown_tokens(const AnswerPart& part) {
  std::vector<Token> shown;
  const std::vector<bool>& hidden = part.choice().token_is_hidden;
  for (std::size_t i = 0; i < part.tokens().size(); ++i) {
    if (hidden.empty() || !hidden[part.token_begin + i]) shown.push_back(part.tokens()[i]);
  }
  return shown;
}

void append_logprob(std::string& out, float logprob) { append_json_number(out, std::max(logprob, kLogprobMin)); }

}  // namespace

std::string OpenAiLogprobs::of_choice(const AnswerPart& part) const {
  if (part.answer.request.spec.endpoint == Endpoint::completions) return completion(part);
  return R"({"content":)" + list(shown_tokens(part)) + "}";
}

std::string OpenAiLogprobs::completion(const AnswerPart& part) const {
  std::string names, logprobs, tops, offsets;
  std::size_t offset = part.text_offset;
  // `known`: null for the first token of a prompt, which has no log-probability.
  const auto append_token = [&](TokenId id, const Token* known) {
    for (std::string* list : {&names, &logprobs, &tops, &offsets}) *list += list->empty() ? "[" : ",";
    append_json_string(names, name_of(id));
    if (known == nullptr) {
      logprobs += "null";
      tops += "null";
    } else {
      append_logprob(logprobs, known->logprob);
      append_top(tops, *known);
    }
    offsets += fmt::format("{}", offset);
    offset += display_length(tokenizer_, id);
  };
  if (part.answer.request.spec.output.echo && part.is_first) {
    const SharedTokens& prompt = part.answer.prompt_tokens_of(part.choice());
    const std::vector<PromptLogprob>& scores = part.answer.prompts[part.choice().prompt_index].logprobs;
    for (std::size_t i = 0; i < prompt.size(); ++i) append_token(prompt[i], i == 0 ? nullptr : &scores[i - 1].token);
  }
  for (const Token& token : part.tokens()) append_token(token.id, &token);
  for (std::string* list : {&names, &logprobs, &tops, &offsets}) *list += list->empty() ? "[]" : "]";
  return fmt::format(R"({{"tokens":{},"token_logprobs":{},"top_logprobs":{},"text_offset":{}}})", names, logprobs, tops, offsets);
}

// An object has one entry per text; of several tokens with equal text (parts of characters) the most likely is kept. The token itself is
// always included.
void OpenAiLogprobs::append_top(std::string& out, const Token& token) const {
  std::vector<std::string> written;
  out += "{";
  const auto append = [&](TokenId one, float its_logprob) {
    std::string name = name_of(one);
    if (std::ranges::find(written, name) != written.end()) return;
    if (!written.empty()) out += ",";
    append_json_string(out, name);
    out += ":";
    append_logprob(out, its_logprob);
    written.push_back(std::move(name));
  };
  for (const TokenLogprob& one : token.top) append(one.token, one.logprob);
  append(token.id, token.logprob);
  out += "}";
}

std::string OpenAiLogprobs::list(std::span<const Token> tokens) const {
  std::string out;
  append_json_list(out, tokens, [&](const Token& token) {
    append_chat_token(out, token.id, token.logprob);
    out += R"(,"top_logprobs":)";
    append_json_list(out, token.top, [&](const TokenLogprob& top) {
      append_chat_token(out, top.token, top.logprob);
      out += "}";
    });
    out += "}";
  });
  return out;
}

// Leaves the object open.
void OpenAiLogprobs::append_chat_token(std::string& out, TokenId token, float logprob) const {
  out += R"({"token":)";
  append_json_string(out, name_of(token));
  out += R"(,"logprob":)";
  append_logprob(out, logprob);
  out += R"(,"bytes":)";
  append_json_list(out, tokenizer_.token_bytes(token), [&](char byte) { out += fmt::format("{}", static_cast<unsigned char>(byte)); });
}

std::string OpenAiLogprobs::prompt(std::span<const PromptLogprob> scores) const {
  std::string out = "[null";
  for (const PromptLogprob& score : scores) {
    out += ",{";
    const auto append_token = [&](TokenId token, float logprob, std::int64_t rank) {
      out += fmt::format(R"("{}":{{"logprob":)", token);
      append_logprob(out, logprob);
      out += fmt::format(R"(,"rank":{},"decoded_token":)", rank);
      append_json_string(out, display_text(tokenizer_, token));
      out += "}";
    };
    const Token& own = score.token;
    append_token(own.id, own.logprob, score.rank);
    for (std::size_t i = 0; i < own.top.size(); ++i) {
      if (own.top[i].token == own.id) continue;
      out += ",";
      append_token(own.top[i].token, own.top[i].logprob, static_cast<std::int64_t>(i) + 1);
    }
    out += "}";
  }
  return out + "]";
}

std::string OpenAiLogprobs::name_of(TokenId token) const {
  return names_ == TokenNames::ids ? fmt::format("token_id:{}", token) : display_text(tokenizer_, token);
}

}  // namespace slora
