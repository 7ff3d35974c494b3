#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "formats/json.h"
#include "server/request_spec.h"

namespace slora {

// The bodies that a field may stand in.
enum FieldSet : unsigned { kCompletionFields = 1, kChatFields = 2 };

template <class... Members>
using MemberOf = std::variant<std::monostate, Members RequestSpec::*...>;  // monostate: held to its form and not followed

struct IntegerField {
  MemberOf<std::int32_t, std::optional<std::int32_t>, std::optional<std::int64_t>> member;
  std::int64_t min, max;
};
struct NumberField {
  MemberOf<float, std::optional<float>> member;
  double min, max;
};
struct FlagField {
  MemberOf<bool, std::optional<bool>> member;
};
struct TextField {
  MemberOf<std::string, std::optional<std::string>> member;
};
// Known, and served for some values only: those that ask for what is done anyway.
struct FixedField {
  std::string_view accepted;  // a JSON list
};
// What has a form of its own. `read` gets no null, and where the field stands; `schema` is the JSON schema of what it takes.
struct FormField {
  Status (*read)(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
  Json (*schema)(std::int32_t vocabulary_size);
};

// One field of a request. Null is the same as absent for every one.
struct Field {
  std::string_view name;
  unsigned sets;  // of FieldSet
  std::variant<IntegerField, NumberField, FlagField, TextField, FixedField, FormField> kind;
  std::string_view description;
};

// All that a request may say: what the validator, the schemas and the tests are made of.
[[nodiscard]] std::span<const Field> request_fields();

[[nodiscard]] constexpr FieldSet field_set_of(Endpoint endpoint) { return endpoint == Endpoint::chat ? kChatFields : kCompletionFields; }

}  // namespace slora
