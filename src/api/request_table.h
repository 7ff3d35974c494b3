#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "api/request_spec.h"
#include "formats/json.h"

namespace slora {

// Where a field may stand: in the bodies of the endpoints, and in the objects of sampling parameters within them.
enum FieldSet : unsigned {
  kCompletionFields = 1,
  kChatFields = 2,
  kSglangFields = 4,
  kSglangSamplingFields = 8,
  kSloraFields = 16,
  kSloraParameterFields = 32,
  kTgiFields = 64,
  kTgiParameterFields = 128,
  kResponseFields = 256,
  kEmbeddingFields = 512,
  kScoreFields = 1024,
  kRerankFields = 2048,
};

// Where a field's value goes; monostate: it is checked and not followed.
template <class... Values>
using TargetOf = std::variant<std::monostate, Values& (*)(RequestSpec&)...>;

struct IntegerField {
  TargetOf<std::int32_t, std::optional<std::int32_t>, std::optional<std::int64_t>> target;
  std::int64_t min, max;
};
struct NumberField {
  TargetOf<float, std::optional<float>> target;
  double min, max;
};
struct FlagField {
  TargetOf<bool, std::optional<bool>> target;
};
struct TextField {
  TargetOf<std::string, std::optional<std::string>> target;
  std::size_t bytes_max = std::size_t{4} << 10;
};
// Accepted only with values that request what happens anyway.
struct FixedField {
  std::string_view accepted;  // a JSON list
};
// Read by a function of its own (request_fields.h). `read` never receives null; `schema` is the JSON schema of what it accepts.
struct FormField {
  Status (*read)(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
  Json (*schema)(std::int32_t vocabulary_size);
};

// Selects the model (model_fields.h): the one kind of field that is never ignored, wherever it stands.
struct ModelField {
  Status (*read)(RequestSpec& spec, const std::string& place, const Json& value);
  Json (*schema)();
};

// An object with fields of its own.
struct ObjectField {
  FieldSet members;
};

// One field of a request. Null is the same as absent for every one.
struct Field {
  std::string_view name;
  unsigned sets;  // of FieldSet
  std::variant<IntegerField, NumberField, FlagField, TextField, FixedField, FormField, ModelField, ObjectField> kind;
  std::string_view description;
};

// Every field of every endpoint: the source of the validator, the schemas and the tests.
[[nodiscard]] std::span<const Field> request_fields();

// An endpoint's names of fields that all endpoints have, and its default output length.
struct EndpointWords {
  std::string_view prompt, output_tokens, min_tokens;
  std::int32_t output_tokens_default;  // 0: as many as the context holds
};
[[nodiscard]] constexpr EndpointWords words_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::completions:
      return {"prompt", "max_tokens", "min_tokens", 16};
    case Endpoint::chat:
      return {"messages", "max_tokens", "min_tokens", 0};
    case Endpoint::responses:
      return {"input", "max_output_tokens", "", 0};
    case Endpoint::embeddings:
      return {"input", "", "", 1};
    case Endpoint::score:
      return {"documents", "", "", 1};
    case Endpoint::rerank:
      return {"documents", "", "", 1};
    case Endpoint::sglang:
      return {"text", "sampling_params.max_new_tokens", "sampling_params.min_new_tokens", 128};
    case Endpoint::slora:
      return {"inputs", "parameters.max_new_tokens", "", 16};
    case Endpoint::tgi:
      return {"inputs", "parameters.max_new_tokens", "", 0};
  }
  return {};
}

[[nodiscard]] constexpr FieldSet field_set_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::completions:
      return kCompletionFields;
    case Endpoint::chat:
      return kChatFields;
    case Endpoint::responses:
      return kResponseFields;
    case Endpoint::embeddings:
      return kEmbeddingFields;
    case Endpoint::score:
      return kScoreFields;
    case Endpoint::rerank:
      return kRerankFields;
    case Endpoint::sglang:
      return kSglangFields;
    case Endpoint::slora:
      return kSloraFields;
    case Endpoint::tgi:
      return kTgiFields;
  }
  return kCompletionFields;
}

}  // namespace slora
