#pragma once
#include "api/answer_forms.h"
#include "api/request_spec.h"
#include "base/result.h"

namespace slora {

// Whether the answer has to have a call.
[[nodiscard]] bool has_forced_calls(const RequestSpec& spec);

// Gives the request the form that its tool choice asks for, if it does: one call or more of its tools, one of the named function, or free
// text in which calls of strict tools are valid, if calls are found in it. Calls are written as the model writes them by itself, if that is
// known. Errors name the field.
[[nodiscard]] Status force_calls(RequestSpec& spec, const AnswerForms& forms);

}  // namespace slora
