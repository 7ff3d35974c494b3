#pragma once
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "engine/generation.h"
#include "formats/json.h"

namespace slora {

// Whose form a request has: OpenAI's two, SGLang's /generate, or the S-LoRA paper's /generate and /generate_stream.
enum class Endpoint : std::uint8_t { completions, chat, sglang, slora };

// Which end of a prompt that is too long is kept.
enum class KeptEnd : std::uint8_t { last, first };

using Prompt = std::variant<std::string, std::vector<TokenId>>;

// A generation request as the client wrote it, checked field by field. Built by parse_request() and nobody else, for every
// endpoint; const afterwards. Empty optionals are filled from the model's generation_config.json.
struct RequestSpec {
  Endpoint endpoint = Endpoint::completions;
  std::string model;          // empty: the base model
  std::string adapter;        // an adapter named apart from the model; empty: none
  std::string adapter_field;  // where

  std::vector<Prompt> prompts;  // but for chats: at least one
  std::string prompt_field;     // where prompts or messages stand
  bool prompts_are_list = false;
  std::optional<std::int32_t> truncate_prompt_tokens;  // how many are kept; -1: as many as there is room for
  KeptEnd kept_end = KeptEnd::last;
  std::optional<bool> add_special_tokens;

  // Chat: at least one message; arguments of tool calls are objects, as templates want them. What is absent is null.
  Json messages, tools, documents, chat_template_kwargs;
  std::optional<std::string> chat_template;  // the name of one of the model's own
  std::string reasoning_effort;              // empty: not given
  std::optional<bool> add_generation_prompt;
  bool continue_final_message = false;

  std::int32_t n = 1;
  std::optional<std::int32_t> max_tokens;  // 0: the prompt is scored, nothing generated
  std::optional<std::int32_t> max_completion_tokens;
  std::int32_t min_tokens = 0;
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<std::int32_t> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::optional<std::int64_t> seed;
  std::vector<TokenBias> logit_bias;

  std::optional<std::int32_t> logprobs;  // how many of the most likely tokens to tell beside the chosen one
  bool wants_logprobs = false;           // where it is asked apart from how many: parse_request() makes `logprobs` of it and top_logprobs
  std::optional<std::int32_t> top_logprobs;
  std::optional<std::int32_t> prompt_logprobs;
  std::int32_t logprob_start_len = -1;  // SGLang: the first token of the prompt whose log-probability is told; -1: none

  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;

  bool echo = false;
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;
  bool return_text_in_logprobs = false;  // SGLang
  bool return_details = false;           // S-LoRA: tell the tokens too
  bool do_sample = false;                // S-LoRA: else the likeliest token always
  std::string rid;                       // SGLang: what the client calls the request; empty: an id is made
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage_stats = false;

  std::size_t unknown_field_count = 0;

  // The newer name wins. Nothing: as many as the endpoint gives by default.
  [[nodiscard]] std::optional<std::int32_t> output_tokens() const { return max_completion_tokens ? max_completion_tokens : max_tokens; }
  [[nodiscard]] bool scores_only() const { return max_tokens == 0; }
};

}  // namespace slora
