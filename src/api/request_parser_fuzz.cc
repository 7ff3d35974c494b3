#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/conversation_fields.h"
#include "api/request_fields.h"
#include "api/request_parser.h"
#include "base/check.h"

// The input is a request's body. Whatever it is: refused with a message, or a request within every bound, on every endpoint.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  constexpr std::int32_t vocabulary_size = 1000;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat, Endpoint::sglang, Endpoint::slora}) {
    const Result<RequestSpec> spec = parse_request(endpoint, body, vocabulary_size);
    if (!spec) {
      check(!spec.error().message.empty(), "a reason for every refusal");
      continue;
    }
    check(spec->n >= 1 && spec->n <= 8, "a bounded number of choices");
    check(spec->prompts.size() <= kPromptsMax && spec->messages.size() <= kMessagesMax, "a bounded number of prompts");
    check(spec->tools.size() <= kToolsMax && spec->documents.size() <= kDocumentsMax, "a bounded number of tools");
    for (const auto& [asked, max] : {std::pair(spec->logprobs, kLogprobsMax), std::pair(spec->prompt_logprobs, kLogprobsMax)})
      check(!asked || (*asked >= 0 && *asked <= max), "a bounded number of log-probabilities");
    check(spec->scores_only() ? spec->echo : spec->output_tokens().value_or(1) >= 1, "output, or a prompt to score");
    check(spec->stop.size() <= kStopsMax && spec->logit_bias.size() <= kLogitBiasMax, "bounded lists");
    for (const TokenId token : spec->stop_token_ids) check(token >= 0 && token < vocabulary_size, "stop tokens of the vocabulary");
    for (const TokenBias& bias : spec->logit_bias)
      check(bias.token >= 0 && bias.token < vocabulary_size, "biased tokens of the vocabulary");
  }
  return 0;
}
