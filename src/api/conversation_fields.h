#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kMessagesMax = 4096;
inline constexpr std::size_t kToolsMax = 128;
inline constexpr std::size_t kToolBytesMax = 256 << 10;  // of all tools, as JSON
inline constexpr std::size_t kDocumentsMax = 1024;

// Readers and schemas, as in request_fields.h, of the fields that the chat template receives.

Status read_messages(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json messages_schema(std::int32_t vocabulary_size);
Status read_tools(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json tools_schema(std::int32_t vocabulary_size);
// "none", "auto", "required", or {"type": "function", "function": {"name"}}.
Status read_tool_choice(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json tool_choice_schema(std::int32_t vocabulary_size);
// Whether a choice that was given fits the tools.
Status check_tool_choice(const RequestSpec& spec, bool is_given);
Status read_documents(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json documents_schema(std::int32_t vocabulary_size);
Status read_chat_template_kwargs(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json chat_template_kwargs_schema(std::int32_t vocabulary_size);
Status read_reasoning_effort(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json reasoning_effort_schema(std::int32_t vocabulary_size);

}  // namespace slora
