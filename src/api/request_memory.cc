#include "api/request_memory.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "ops/token.h"

namespace slora {
namespace {

// Measured on the parser and the tokenizers, with what vectors allocate ahead.
constexpr std::size_t kBytesOfText = 6;     // for each byte of a body: the texts made of it, pieces and tokens
constexpr std::size_t kBytesOfValue = 64;   // of a value in the tree
constexpr std::size_t kBytesOfMember = 96;  // in addition, of one in an object
constexpr std::size_t kBytesOfSequence = 4 << 10;

}  // namespace

std::size_t bytes_to_prepare(std::string_view body) {
  std::size_t value_count = 1, member_count = 0;
  for (const char c : body) {
    value_count += static_cast<std::size_t>(c == ',' || c == '[' || c == '{');
    member_count += static_cast<std::size_t>(c == ':');
  }
  return kBytesOfText * body.size() + kBytesOfValue * value_count + kBytesOfMember * member_count;
}

std::size_t bytes_of(const PreparedRequest& request) {
  const auto n = static_cast<std::size_t>(request.spec.output.n);
  const SamplingParams& sampling = request.spec.sampling;
  // The request's list, and each sequence's own in the scheduler; another one for the penalty.
  const std::size_t list_count = 1 + n + (sampling.penalises_repetition() ? n : 0);
  const std::size_t bytes_of_score =
      sampling.prompt_logprob_count < 0
          ? 0
          : n * (sizeof(PromptLogprob) + static_cast<std::size_t>(sampling.prompt_logprob_count) * sizeof(TokenLogprob));
  std::size_t bytes = 0;
  if (const Json& tools = request.spec.chat.tools; !tools.is_null()) bytes += bytes_to_prepare(tools.dump());  // answers are read by them
  for (const PreparedRequest::Prompt& prompt : request.prompts) {
    bytes += n * kBytesOfSequence + prompt.tokens.size() * (list_count * sizeof(TokenId) + bytes_of_score) + (1 + n) * prompt.echo.size();
  }
  return bytes;
}

std::size_t bytes_of(const TokenEvent& event) {
  constexpr std::size_t kBytesOfToken = 16;                   // its text, and the scheduler's copy of its id
  constexpr std::size_t kBytesOfNumber = sizeof(float) + 14;  // and its text
  std::size_t bytes =
      event.embedding.size() * kBytesOfNumber + 2 * sizeof(Token) + kBytesOfToken + event.token.top.size() * sizeof(TokenLogprob);
  for (const PromptLogprob& scored : event.prompt_logprobs) bytes += sizeof scored + scored.token.top.size() * sizeof(TokenLogprob);
  return bytes;
}

Result<RequestSpec> read_within(const ByteReservation& memory, const RequestPreparer& preparer, const BodyToPrepare& body) {
  ByteReservation work = memory.sibling_of_nobody();
  if (Status held = work.continue_to(body.work_bytes); !held) return forward_error(held);
  return preparer.read(body.endpoint, body.text);
}

Result<PreparedRequest> finish_within(ByteReservation memory, const RequestPreparer& preparer, RequestToFinish read) {
  ByteReservation work = memory.sibling_of_nobody();
  if (Status held = work.continue_to(read.work_bytes); !held) return forward_error(held);
  Result<PreparedRequest> request = preparer.finish(std::move(read.spec), std::move(read.model));
  if (!request) return request;
  request->spec.prompt.given = {};
  for (Json* read_already : {&request->spec.chat.messages, &request->spec.chat.documents, &request->spec.chat.template_variables})
    *read_already = nullptr;
  const std::size_t bytes = bytes_of(*request);
  if (Status held = memory.continue_to(bytes); !held) return forward_error(held);
  memory.shrink_to(bytes);
  request->memory = std::move(memory);
  return request;
}

}  // namespace slora
