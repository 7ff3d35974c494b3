#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "engine/generation.h"

namespace slora {

enum class Endpoint : std::uint8_t { completions, chat };

struct ChatMessage {
  std::string role;
  std::string content;  // text parts joined
  std::string name;     // may be empty
};

using Prompt = std::variant<std::string, std::vector<TokenId>>;

// A generation request as the client wrote it, checked field by field. Built by parse_request() and nobody else, for every
// endpoint; const afterwards. Empty optionals are filled from the model's generation_config.json.
struct RequestSpec {
  Endpoint endpoint = Endpoint::completions;
  std::string model;                  // empty: the base model
  std::vector<Prompt> prompts;        // completions: at least one
  std::vector<ChatMessage> messages;  // chat: at least one

  std::int32_t n = 1;
  std::optional<std::int32_t> max_tokens;
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

  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  std::optional<bool> add_special_tokens;

  bool echo = false;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage_stats = false;

  std::size_t unknown_field_count = 0;
};

}  // namespace slora
