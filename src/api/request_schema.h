#pragma once
#include <cstdint>

#include "api/request_spec.h"
#include "formats/json.h"

namespace slora {

// The JSON schema (2020-12, as OpenAPI 3.1 has it) of an endpoint's body, made from the validator's own table. What it allows may still
// be refused: where fields contradict each other, or where a prompt exceeds the context.
[[nodiscard]] Json request_schema(Endpoint endpoint, std::int32_t vocabulary_size);

}  // namespace slora
