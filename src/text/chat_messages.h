#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// The error of a request's field, "messages[0].content" for example: param is the field, and the message begins with it.
[[nodiscard]] tl::unexpected<Error> refuse_field(std::string field, std::string_view what);

enum class ContentFormat { text, parts };  // how a template expects a message's content

// Messages as OpenAI's clients send them, under the names that templates use, as vLLM and transformers do: content in the template's
// format (parts joined by line breaks, or text as the only part; nothing for null, which an assistant's message may have), members
// that are null left out, and a message's reasoning under each of its three names. Errors name the message.
[[nodiscard]] Result<Json> to_template_messages(const Json& messages, ContentFormat format);

// The arguments of a tool call as templates expect them: an object, where OpenAI sends JSON text. Text that does not parse, which a model
// may have written earlier in the conversation, stays text.
[[nodiscard]] Json call_arguments(const Json& arguments);

}  // namespace slora
