#pragma once
#include "text/jinja_syntax.h"

namespace slora::jinja {

// Whether a chat template looks through a message's content part by part, and so wants a list of parts rather than a text. Guessed
// from its loops, by vLLM's rules.
[[nodiscard]] bool loops_over_content(const Template& root);

}  // namespace slora::jinja
