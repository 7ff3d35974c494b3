#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kPromptsMax = 32;
inline constexpr std::size_t kStopsMax = 16;
inline constexpr std::size_t kStopBytesMax = 256;
inline constexpr std::size_t kStopTokensMax = 256;
inline constexpr std::size_t kLogitBiasMax = 1024;
inline constexpr double kLogitBiasSizeMax = 100;
inline constexpr std::int64_t kLogprobsMax = 20;

// Readers of fields that are no plain number, flag or text, each with the JSON schema of what it accepts. Values are not null. `place` is
// the field's path; errors name the exact place within it as OpenAI does: "prompt[1][0]".

// A string, token ids, or a list of up to `count_max` of either.
Status read_prompts(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size, std::size_t count_max);
// The same with as many as there may be prompts.
Status read_prompt(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json prompt_schema(std::int32_t vocabulary_size);
// The same where texts and token ids have fields of their own, of which one may be given.
Status read_texts(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json texts_schema(std::int32_t vocabulary_size);
Status read_input_ids(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json input_ids_schema(std::int32_t vocabulary_size);
// One text.
Status read_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json input_schema(std::int32_t vocabulary_size);
// {"token id": bias}
Status read_logit_bias(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json logit_bias_schema(std::int32_t vocabulary_size);
// A string or a list of them.
Status read_stop(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json stop_schema(std::int32_t vocabulary_size);
Status read_stop_token_ids(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json stop_token_ids_schema(std::int32_t vocabulary_size);
// "left" or "right".
Status read_truncation_side(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json truncation_side_schema(std::int32_t vocabulary_size);
Status read_stream_options(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json stream_options_schema(std::int32_t vocabulary_size);

// Refuses ids of tokens that the model, which depends on the adapter, does not have.
[[nodiscard]] Status check_token_ids(const RequestSpec& spec, std::int32_t vocabulary);

}  // namespace slora
