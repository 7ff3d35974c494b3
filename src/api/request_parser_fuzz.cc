#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/conversation_fields.h"
#include "api/embedding_fields.h"
#include "api/request_fields.h"
#include "api/request_parser.h"
#include "base/check.h"

// The input is a request's body. Whatever it is: refused with a message, or a request within every bound, on every endpoint.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  constexpr std::int32_t vocabulary_size = 1000;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat, Endpoint::responses, Endpoint::embeddings, Endpoint::score,
                                  Endpoint::rerank, Endpoint::sglang, Endpoint::slora, Endpoint::tgi}) {
    const Result<RequestSpec> spec = parse_request(endpoint, body, {vocabulary_size});
    if (!spec) {
      check(!spec.error().message.empty(), "expected a refusal to have a message");
      continue;
    }
    check(spec->output.n >= 1 && spec->output.n <= 8, "expected a bounded number of choices");
    check(spec->prompt.given.size() <= (is_embedding(endpoint) ? kEmbeddingInputsMax : kPromptsMax) &&
              spec->chat.messages.size() <= kMessagesMax,
          "expected a bounded number of prompts");
    check(spec->chat.tools.size() <= kToolsMax && spec->chat.documents.size() <= kDocumentsMax, "expected a bounded number of tools");
    for (const auto& [asked, max] : {std::pair(spec->output.logprobs, kLogprobsMax), std::pair(spec->output.prompt_logprobs, kLogprobsMax)})
      check(!asked || (*asked >= 0 && *asked <= max), "expected a bounded number of log-probabilities");
    check(spec->output.scores_only() ? spec->output.echo || is_embedding(endpoint) : spec->output.token_limit().value_or(1) >= 1,
          "expected output, or a prompt to score");
    check(spec->output.stop.size() <= kStopsMax && spec->sampling.logit_bias.size() <= kLogitBiasMax, "expected bounded lists");
    for (const TokenId token : spec->output.stop_token_ids)
      check(token >= 0 && token < vocabulary_size, "expected stop tokens within the vocabulary");
    for (const TokenBias& bias : spec->sampling.logit_bias)
      check(bias.token >= 0 && bias.token < vocabulary_size, "expected biased tokens within the vocabulary");
  }
  return 0;
}
