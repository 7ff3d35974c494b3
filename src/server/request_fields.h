#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "formats/json.h"
#include "server/request_spec.h"

namespace slora {

// Readers of the request fields that have a form of their own. `value` is not null. Each names the place at fault as OpenAI does:
// "messages[1].content".

// A string, token ids, or a list of either.
Status read_prompt(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
Status read_messages(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
// {"token id": bias}
Status read_logit_bias(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
// true or false; top_logprobs gives the number.
Status read_chat_logprobs(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
// A string or a list of them.
Status read_stop(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
Status read_stop_token_ids(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
// Held to its form and not followed: a client must not put itself before others.
Status read_priority(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);
Status read_stream_options(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size);

}  // namespace slora
