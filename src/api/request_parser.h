#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/request_spec.h"
#include "base/result.h"

namespace slora {

inline constexpr std::size_t kSequencesMax = 64;  // prompts times n: an answer that is no stream is held whole

// One request from a body, or invalid_request_error with the field at fault, expected and found. Fields are those of request_table.h;
// others are ignored and counted, except for those that seem to select a model. `endpoint` is the path's: sglang for /generate, slora for
// /generate_stream, tgi for /. On the first two the body decides whose form it is: with "inputs" TGI's, or with "lora_dir" or "model_dir"
// too the S-LoRA paper's. Token ids lie in [0, vocabulary_size).
[[nodiscard]] Result<RequestSpec> parse_request(Endpoint endpoint, std::string_view body, std::int32_t vocabulary_size);
// The same from a body that is JSON already.
[[nodiscard]] Result<RequestSpec> read_request(Endpoint endpoint, const Json& body, std::int32_t vocabulary_size);

}  // namespace slora
