#pragma once
#include <cstdint>
#include <string>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// The fields that give an answer a form, as each server's clients write them: readers as those of request_fields.h. A request has one form
// at most. What is wrong with the form itself is found when it is compiled (constraint_step.h).

// {"type": "text" | "json_object" | "json_schema", ...}. LoRAX's and llama.cpp's {"type": "json_object", "schema"} too.
Status read_response_format(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json response_format_schema(std::int32_t vocabulary_size);
// vLLM's object with one form.
Status read_structured_outputs(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json structured_outputs_schema(std::int32_t vocabulary_size);
// TGI's {"type": "json" | "regex", "value"}.
Status read_tgi_grammar(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json tgi_grammar_schema(std::int32_t vocabulary_size);

// A JSON schema, itself or as text; an empty text is none.
Status read_schema_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json schema_form_schema(std::int32_t vocabulary_size);
// Texts; empty ones are none.
Status read_regex_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Status read_grammar_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json text_form_schema(std::int32_t vocabulary_size);
// A list of texts.
Status read_choice_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json choice_form_schema(std::int32_t vocabulary_size);
// xgrammar's structural tags, themselves or as text.
Status read_tag_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);

// Rules that involve other fields.
[[nodiscard]] Status check_constraint_fields(const RequestSpec& spec);

}  // namespace slora
