#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kMetadataMax = 16;
inline constexpr std::size_t kMetadataKeyBytesMax = 64;
inline constexpr std::size_t kMetadataValueBytesMax = 2048;  // OpenAI's 512 characters

// Readers and schemas, as in request_fields.h, of the fields that only /v1/responses has. Its items become the messages of a chat.

// A text, or a list of items: messages, function calls and what they returned, reasoning.
Status read_response_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_input_schema(std::int32_t vocabulary_size);
Status read_instructions(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json instructions_schema(std::int32_t vocabulary_size);
// {"format", "verbosity"}
Status read_response_text(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_text_schema(std::int32_t vocabulary_size);
// Functions, whose members stand in the tool itself.
Status read_response_tools(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_tools_schema(std::int32_t vocabulary_size);
Status read_response_tool_choice(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_tool_choice_schema(std::int32_t vocabulary_size);
// {"effort", "summary"}
Status read_response_reasoning(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_reasoning_schema(std::int32_t vocabulary_size);
Status read_response_include(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_include_schema(std::int32_t vocabulary_size);
Status read_truncation(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json truncation_schema(std::int32_t vocabulary_size);
Status read_metadata(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json metadata_schema(std::int32_t vocabulary_size);
Status read_response_stream_options(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_stream_options_schema(std::int32_t vocabulary_size);
// Refuses what would have to be stored here.
Status refuse_stored(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json stored_schema(std::int32_t vocabulary_size);

// Once all fields are read: the instructions become the first message.
void complete_response(RequestSpec& spec);

}  // namespace slora
