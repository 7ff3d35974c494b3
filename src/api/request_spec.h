#pragma once
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "adapters/adapter_version.h"
#include "base/ids.h"
#include "constraint/constraint.h"
#include "engine/generation.h"
#include "formats/json.h"

namespace slora {

// Whose form a request has: OpenAI's four, vLLM's scores and Jina's reranking, SGLang's /generate, the S-LoRA paper's /generate and
// /generate_stream, or those of TGI, which LoRAX has too.
enum class Endpoint : std::uint8_t { completions, chat, responses, embeddings, score, rerank, sglang, slora, tgi };

// Whether the prompt is a conversation, written by a chat template.
[[nodiscard]] constexpr bool is_conversation(Endpoint endpoint) { return endpoint == Endpoint::chat || endpoint == Endpoint::responses; }

// Whether the answer is made of the prompts' embeddings.
[[nodiscard]] constexpr bool is_embedding(Endpoint endpoint) {
  return endpoint == Endpoint::embeddings || endpoint == Endpoint::score || endpoint == Endpoint::rerank;
}

// Which end of a prompt that is too long is kept.
enum class KeptEnd : std::uint8_t { last, first };

using Prompt = std::variant<std::string, std::vector<TokenId>>;

// The prompts, and how they become tokens.
struct PromptSpec {
  std::vector<Prompt> given;  // except for conversations: at least one
  std::string field;          // where prompts or messages stand
  bool is_list = false;
  std::optional<std::int32_t> truncate_tokens;  // how many are kept; -1: as many as leave space for the output
  KeptEnd kept_end = KeptEnd::last;
  std::optional<bool> add_special_tokens;
};

// Which tools the model may call, or has to.
struct ToolChoice {
  enum class Mode : std::uint8_t { none, automatic, required, named };
  Mode mode = Mode::automatic;
  std::string name;  // of the function that has to be called
};

// What the chat template receives. Absent values are null.
struct ChatSpec {
  Json messages;  // in conversations at least one; arguments of tool calls are objects, as templates expect them
  Json tools, documents, template_variables;
  std::optional<std::string> template_name;  // one of the model's own
  std::string reasoning_effort;              // empty: not given
  std::optional<bool> add_generation_prompt;
  bool continue_final_message = false;

  // And how the answer is taken apart.
  ToolChoice tool_choice;
  std::optional<bool> parallel_tool_calls;
  bool include_reasoning = true;
};

// How much output there is, what ends it, and what of it is shown.
struct OutputSpec {
  std::int32_t n = 1;
  std::optional<std::int32_t> max_tokens;  // 0: the prompt is scored, nothing generated
  std::optional<std::int32_t> max_completion_tokens;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_text = false;
  bool skip_special_tokens = true;

  bool stream = false;
  bool echo = false;
  bool return_token_ids = false;
  bool wants_logprobs = false;  // where that is one field and top_logprobs another: together they make `logprobs`
  std::optional<std::int32_t> top_logprobs;
  std::optional<std::int32_t> logprobs;  // how many of the most likely tokens are shown in addition to the chosen one
  std::optional<std::int32_t> prompt_logprobs;

  // The newer name wins. Nothing: as many as the endpoint gives by default.
  [[nodiscard]] std::optional<std::int32_t> token_limit() const { return max_completion_tokens ? max_completion_tokens : max_tokens; }
  [[nodiscard]] bool scores_only() const { return max_tokens == 0; }
};

// Sampling parameters that models have defaults for; empty where the client gave none.
struct GivenSampling {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int32_t> top_k;
};

// What only OpenAI's endpoints have.
struct OpenAiSpec {
  bool include_usage = false;
  bool continuous_usage_stats = false;
  bool return_tokens_as_token_ids = false;
};

// What only OpenAI's /v1/responses has. Most of it is repeated in the answer.
struct ResponsesSpec {
  std::optional<std::string> instructions;  // the system message
  Json metadata = {}, tools = {};           // as given; null: absent
  Json tool_choice = {}, text_format = {};
  std::string verbosity = "medium";
  std::string reasoning_effort;  // empty: not given
  std::string user;
};

// How an embedding is written.
enum class EmbeddingForm : std::uint8_t { numbers, base64 };

// What only the endpoints have that answer with embeddings, or with what is made of them.
struct EmbeddingSpec {
  Pooling pooling = Pooling::none;  // none, until the request is prepared: as the model was made for
  EmbeddingForm form = EmbeddingForm::numbers;
  std::optional<std::int32_t> dimensions;  // how many of the first numbers are kept
  bool normalize = true;
  std::vector<Prompt> queries;  // of scores; the prompts are those of the documents until all fields are read
  std::size_t query_count = 0;  // of the first prompts
  std::optional<std::int32_t> top_n;
  bool return_documents = true;
};

// What only SGLang's endpoint has.
struct SglangSpec {
  std::string rid;                      // what the client calls the request; empty: an id is made
  std::int32_t logprob_start_len = -1;  // the first token of the prompt whose log-probability is shown; -1: none
  bool return_text_in_logprobs = false;
};

// What only the S-LoRA paper's endpoints have.
struct SloraSpec {
  bool return_details = false;  // show the tokens too
  bool do_sample = false;       // false: always the most likely token
};

// What only TGI's and LoRAX's endpoints have.
struct TgiSpec {
  bool in_list = false;  // the answer is a list of one, as on their path /
  bool do_sample = false;
  bool details = false;
  bool prompt_details = false;               // with the log-probabilities of the prompt's tokens
  std::optional<std::int32_t> top_tokens;    // TGI's list of the most likely tokens at each position
  std::optional<std::int32_t> alternatives;  // LoRAX's
};

// A generation request as the client wrote it, checked field by field. Built by parse_request() and read_request() for every endpoint. Once
// the model is known its defaults are applied (sampling_defaults.h); const afterwards.
struct RequestSpec {
  Endpoint endpoint = Endpoint::completions;
  std::string model;                   // empty: the base model
  std::string model_field = "model";   // where
  std::string adapter;                 // an adapter named apart from the model; empty: none
  std::string adapter_field;           // where
  std::vector<WeightedAdapter> blend;  // adapters whose weighted sum answers; none: one adapter or the base
  std::string blend_field;             // where
  std::string adapter_folder;          // in which the client says that adapter lies; empty: it does not say
  std::string adapter_folder_field;    // where

  PromptSpec prompt;
  ChatSpec chat;
  GivenSampling given;
  SamplingParams sampling;               // of every sequence, except for the seed
  std::optional<std::int64_t> seed;      // none: a random one
  std::optional<float> timeout_seconds;  // from the arrival to the end of the answer
  std::int32_t priority = 0;             // lower is served earlier, if the policy follows it
  OutputSpec output;
  std::optional<ConstraintSpec> constraint;  // the form of the answer
  std::string constraint_field;              // where
  OpenAiSpec openai;
  ResponsesSpec responses;
  EmbeddingSpec embedding;
  SglangSpec sglang;
  SloraSpec slora;
  TgiSpec tgi;

  std::size_t unknown_field_count = 0;
};

}  // namespace slora
