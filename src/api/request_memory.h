#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "api/model_access.h"
#include "api/request_preparer.h"
#include "base/byte_budget.h"
#include "base/result.h"

namespace slora {

// What a request takes of memory in its stages, as upper estimates: JSON becomes a tree, texts become tokens, tokens become an answer.

// Of everything that exists while this body is parsed, rendered and tokenised, the body included.
[[nodiscard]] std::size_t bytes_to_prepare(std::string_view body);
// Of a request that waits or runs, without its answer.
[[nodiscard]] std::size_t bytes_of(const PreparedRequest& request);
// What one event adds to an answer.
[[nodiscard]] std::size_t bytes_of(const TokenEvent& event);

struct BodyToPrepare {
  Endpoint endpoint;
  std::string_view text;
  std::size_t work_bytes;  // bytes_to_prepare() of the text
};

// Reads a body; its reservation's budget holds what that takes meanwhile. Errors: those of RequestPreparer::read(), and "out_of_memory".
[[nodiscard]] Result<RequestSpec> read_within(const ByteReservation& memory, const RequestPreparer& preparer, const BodyToPrepare& body);

struct RequestToFinish {
  RequestSpec spec;
  FoundModel model;
  std::size_t work_bytes;  // as of its body
};

// Prepares what was read so. The reservation goes on with the request, and all texts that nobody reads any more are gone then. Errors:
// those of RequestPreparer::finish(), and "out_of_memory".
[[nodiscard]] Result<PreparedRequest> finish_within(ByteReservation memory, const RequestPreparer& preparer, RequestToFinish read);

}  // namespace slora
