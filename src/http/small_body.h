#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// Bodies of a few plain fields, for routes other than generation. One table per body is both its validator and its schema.

enum class FieldForm : std::uint8_t { text, flag, integer, token_ids };
enum class FieldNeed : std::uint8_t { needed, optional };

struct SmallField {
  std::string_view name;
  FieldForm form;
  FieldNeed need;
  std::string_view description;
};

// The known fields of a body, of the forms that the table gives them; null counts as absent, others are ignored. Else
// invalid_request_error naming the field. Token ids lie in [0, vocabulary_size).
[[nodiscard]] Result<Json> parse_small_body(std::span<const SmallField> fields, std::string_view body, std::int32_t vocabulary_size);

// JSON Schema (2020-12) of such a body.
[[nodiscard]] Json small_body_schema(std::span<const SmallField> fields, std::int32_t vocabulary_size);

}  // namespace slora
