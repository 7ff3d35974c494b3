#pragma once
#include "base/result.h"
#include "formats/json.h"

namespace slora {

enum class ContentFormat { text, parts };  // what a template takes for a message's content

// Messages as OpenAI's clients send them, in the words of templates, as vLLM and transformers have it: content in the template's
// format (parts joined by line breaks, or text as the only part; nothing for null, which an assistant's message may have), members
// that are null left out, and a message's reasoning under each of its three names. A message at fault is named.
[[nodiscard]] Result<Json> to_template_messages(const Json& messages, ContentFormat format);

}  // namespace slora
