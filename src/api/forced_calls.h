#pragma once
#include "api/answer_forms.h"
#include "api/request_spec.h"
#include "base/result.h"

namespace slora {

// Gives the request the form that its tool choice asks for, if it does: one call or more of its tools, one of the named function, or free
// text in which calls of strict tools are valid. Calls are written as the model writes them by itself. Errors name the field.
[[nodiscard]] Status force_calls(RequestSpec& spec, const AnswerForms& forms);

}  // namespace slora
