#include "api/model_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "api/api_error.h"
#include "api/request_table.h"

namespace slora {
namespace {

constexpr std::string_view kAdvice = R"(write the adapter's name in "model", as GET /v1/models lists it)";

// What a member of an object that names an adapter says.
enum class MemberRole : std::uint8_t { name, names, folder, scale, scales, merge, harmless };
struct AdapterMember {
  std::string_view name;
  MemberRole role;
};
constexpr std::array kAdapterMembers = {
    AdapterMember{"name", MemberRole::name},
    AdapterMember{"id", MemberRole::name},  // llama.cpp's are numbers
    AdapterMember{"lora_name", MemberRole::name},
    AdapterMember{"lora_id", MemberRole::name},
    AdapterMember{"adapter", MemberRole::name},
    AdapterMember{"adapter_name", MemberRole::name},
    AdapterMember{"adapter_id", MemberRole::name},
    AdapterMember{"ids", MemberRole::names},
    AdapterMember{"adapter_ids", MemberRole::names},
    AdapterMember{"path", MemberRole::folder},
    AdapterMember{"lora_path", MemberRole::folder},
    AdapterMember{"lora_local_path", MemberRole::folder},
    AdapterMember{"adapter_path", MemberRole::folder},
    AdapterMember{"scale", MemberRole::scale},
    AdapterMember{"lora_scale", MemberRole::scale},
    AdapterMember{"weight", MemberRole::scale},
    AdapterMember{"strength", MemberRole::scale},
    AdapterMember{"scales", MemberRole::scales},
    AdapterMember{"weights", MemberRole::scales},
    AdapterMember{"merge_strategy", MemberRole::merge},
    AdapterMember{"density", MemberRole::harmless},               // of strategies other than linear
    AdapterMember{"majority_sign_method", MemberRole::harmless},  // of those too
    AdapterMember{"lora_int_id", MemberRole::harmless},           // the client's own number
};

Status check_name(const std::string& place, const Json& value) {
  if (!value.is_string()) return field_error(place, "{}: expected the name of an adapter, found {}; {}", place, shown(value), kAdvice);
  const std::size_t bytes = value.get_ref<const std::string&>().size();
  if (bytes <= kAdapterNameBytesMax) return {};
  return field_error(place, "{}: expected at most {} bytes, found {}", place, kAdapterNameBytesMax, bytes);
}

// Sets one part of the choice; a second, different one is refused.
Status set_choice(std::string& choice, std::string& field, const std::string& place, const Json& value) {
  if (Status is_name = check_name(place, value); !is_name) return is_name;
  const std::string& name = value.get_ref<const std::string&>();
  if (name.empty()) return {};
  if (!choice.empty() && choice != name)
    return field_error(place, "{}: {} names {}, and this field {}", place, field, quote(choice), quote(name));
  choice = name;
  field = place;
  return {};
}

// The entry of a list whose entries are all equal; null for an empty list.
Result<Json> only_entry(const std::string& place, const Json& list) {
  for (const Json& entry : list) {
    if (entry != list[0]) return expected_at(place, "one adapter for a whole request", list);
  }
  return list.empty() ? Json() : list[0];
}

Status check_scale(const std::string& place, const Json& value) {
  if (value.is_number() && value == 1) return {};
  return expected_at(place, R"(1; other weights are served as "adapters": [{"name", "weight"}])", value);
}

Status check_scales(const std::string& place, const Json& value) {
  if (!value.is_array()) return expected_at(place, "a list of scales", value);
  for (const Json& scale : value) {
    if (Status served = check_scale(place, scale); !served) return served;
  }
  return {};
}

Status read_adapter_member(RequestSpec& spec, const std::string& place, const Json& value, MemberRole role) {
  switch (role) {
    case MemberRole::name:
      return set_choice(spec.adapter, spec.adapter_field, place, value);
    case MemberRole::names:
      if (!value.is_array() || value.size() != 1) return expected_at(place, "a list of one adapter's name", value);
      return set_choice(spec.adapter, spec.adapter_field, place, value[0]);
    case MemberRole::folder:
      return set_choice(spec.adapter_folder, spec.adapter_folder_field, place, value);
    case MemberRole::scale:
      return check_scale(place, value);
    case MemberRole::scales:
      return check_scales(place, value);
    case MemberRole::merge:
      return value == "linear" ? Status{} : expected_at(place, R"("linear", since adapters are not merged here)", value);
    case MemberRole::harmless:
      break;
  }
  return {};
}

const AdapterMember* member_of(std::string_view name) {
  const auto* member = std::ranges::find(kAdapterMembers, name, &AdapterMember::name);
  return member == kAdapterMembers.end() ? nullptr : member;
}

// An object that has a weight other than that of the adapter by itself.
bool is_weighted(const Json& value) {
  if (!value.is_object()) return false;
  for (const auto& [name, given] : value.items()) {
    const AdapterMember* member = member_of(name);
    if (member != nullptr && member->role == MemberRole::scale && !given.is_null() && given != 1) return true;
  }
  return false;
}

Status read_weight(float& weight, const std::string& place, const Json& value) {
  const double given = value.is_number() ? value.get<double>() : 0;
  if (given == 0 || !(std::abs(given) <= kBlendWeightMax) || static_cast<float>(given) == 0)
    return expected_at(place, fmt::format("a number other than 0 from {} to {}, also when rounded to 32 bits", -kBlendWeightMax, kBlendWeightMax), value);
  weight = static_cast<float>(given);
  return {};
}

// An object with one adapter's name and maybe its weight.
Status read_component(RequestSpec& spec, const std::string& place, const Json& object) {
  if (!object.is_object()) return expected_at(place, R"(an object with an adapter's "name" and "weight")", object);
  WeightedAdapter component;
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) continue;
    const std::string at = place + "." + name;
    const AdapterMember* member = member_of(name);
    const MemberRole role = member != nullptr ? member->role : MemberRole::merge;
    if (role == MemberRole::harmless) continue;
    if (role == MemberRole::scale) {
      if (Status read = read_weight(component.weight, at, value); !read) return read;
    } else if (role == MemberRole::name) {
      std::string field;
      if (Status read = set_choice(component.name, field, at, value); !read) return read;
    } else {
      return field_error(at, "{}: expected only a name and a weight of each adapter of a blend, found {}", at, shown(value));
    }
  }
  if (component.name.empty()) return expected_at(place, R"(an object with the adapter's "name")", object);
  spec.blend.push_back(std::move(component));
  return {};
}

// One such object, or a list of them.
Status read_blend(RequestSpec& spec, const std::string& place, const Json& value) {
  const Json list = value.is_array() ? value : Json::array({value});
  if (list.size() > kBlendAdaptersMax)
    return field_error(place, "{}: expected at most {} adapters, found {}", place, kBlendAdaptersMax, list.size());
  RequestSpec own;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string at = value.is_array() ? fmt::format("{}[{}]", place, i) : place;
    if (Status read = read_component(own, at, list[i]); !read) return read;
  }
  if (!spec.blend.empty() && spec.blend != own.blend)
    return field_error(place, "{}: {} names other adapters or weights than this field", place, spec.blend_field);
  spec.blend = std::move(own.blend);
  spec.blend_field = place;
  return {};
}

Status read_adapter_object(RequestSpec& spec, const std::string& place, const Json& object) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) continue;
    const AdapterMember* member = member_of(name);
    const std::string at = place + "." + name;
    if (member == nullptr) return field_error(at, "{}: this member is not known here; {}", at, kAdvice);
    if (Status read = read_adapter_member(spec, at, value, member->role); !read) return read;
  }
  if (!spec.adapter.empty()) return {};
  if (spec.adapter_folder.empty()) return expected_at(place, R"(an object with the adapter's "name")", object);
  // The folder alone is looked up as a name is.
  std::swap(spec.adapter, spec.adapter_folder);
  std::swap(spec.adapter_field, spec.adapter_folder_field);
  return {};
}

// Says nothing, whatever the field means.
bool is_neutral(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

bool is_adapter_word(std::string_view word) {
  constexpr std::array<std::string_view, 6> words = {"lora", "loras", "qlora", "adapter", "adapters", "peft"};
  return std::ranges::find(words, word) != words.end();
}

// Whether the field's name begins with such a word or has one as a part: "lora_scale", "LoRAPath", "x-adapter-name", "useLora"; not
// "exploration".
bool may_select_adapter(std::string_view field) {
  std::string lower, word;
  bool was_lower = false;
  for (const char c : field) {
    const auto character = static_cast<unsigned char>(c);
    const bool is_capital = std::isupper(character) != 0;
    if (std::isalpha(character) == 0 || (is_capital && was_lower)) {
      if (is_adapter_word(word)) return true;
      word.clear();
    }
    was_lower = std::islower(character) != 0;
    lower += static_cast<char>(std::tolower(character));
    if (std::isalpha(character) != 0) word += lower.back();
  }
  const auto begins = [&](std::string_view start) { return lower.starts_with(start); };
  return is_adapter_word(word) || begins("lora") || begins("qlora") || begins("adapter") || begins("peft");
}

// The row that selects a model. The words come first: a body may have hundreds of thousands of members.
const ModelField* find_model_field(std::string_view name) {
  if (!name.starts_with("model") && !may_select_adapter(name)) return nullptr;
  for (const Field& field : request_fields()) {
    if (field.name == name) {
      if (const auto* selecting = std::get_if<ModelField>(&field.kind)) return selecting;
    }
  }
  return nullptr;
}

// The client's own labels, as in OpenAI's API.
constexpr std::string_view kLabels = "metadata";

// The first member, however deep, whose name says that it selects an adapter, and the way to it. JSON of clients has a bounded depth.
const Json* find_selection(std::string& way, const Json& value) {
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      const Json* found = find_selection(way, value[i]);
      if (found == nullptr) continue;
      way.insert(0, fmt::format("[{}]", i));
      return found;
    }
    return nullptr;
  }
  if (!value.is_object()) return nullptr;
  for (const auto& [name, given] : value.items()) {
    if (name == kLabels || is_neutral(given)) continue;
    const Json* found = may_select_adapter(name) ? &given : find_selection(way, given);
    if (found == nullptr) continue;
    way.insert(0, "." + name);
    return found;
  }
  return nullptr;
}

// Of a field without a row.
Status refuse_selection(const std::string& place, const Json& value) {
  return field_error(place, "{}: its name says that it selects an adapter, and it is not known here, found {}; {}", place, shown(value),
                     kAdvice);
}

}  // namespace

Status read_model(RequestSpec& spec, const std::string& place, const Json& value) {
  if (!value.is_array()) return set_choice(spec.model, spec.model_field, place, value);
  if (value.size() > 1) return expected_at(place, "one model", value);
  return value.empty() ? Status{} : set_choice(spec.model, spec.model_field, place, value[0]);
}

Status read_adapter(RequestSpec& spec, const std::string& place, const Json& value) {
  if (is_weighted(value)) return read_blend(spec, place, value);
  if (value.is_object()) return read_adapter_object(spec, place, value);
  if (!value.is_array()) return set_choice(spec.adapter, spec.adapter_field, place, value);
  const bool all_named = std::ranges::all_of(value, [](const Json& entry) { return entry.is_object(); });
  const bool differ = std::ranges::any_of(value, [&](const Json& entry) { return entry != value[0]; });
  if (all_named && !value.empty() && (differ || is_weighted(value[0]))) return read_blend(spec, place, value);
  Result<Json> entry = only_entry(place, value);
  if (!entry) return forward_error(entry);
  if (entry->is_null()) return {};
  const std::string at = place + "[0]";
  return entry->is_object() ? read_adapter_object(spec, at, *entry) : set_choice(spec.adapter, spec.adapter_field, at, *entry);
}

Status read_unserved_adapter(RequestSpec&, const std::string& place, const Json& value) {
  return field_error(place, "{}: adapters are not selected in this way here, found {}; {}", place, shown(value), kAdvice);
}

Status check_unknown_field(const std::string& place, std::string_view name, const Json& value) {
  if (is_neutral(value)) return {};
  if (may_select_adapter(name)) return refuse_selection(place, value);
  if (!value.is_structured() || name == kLabels) return {};
  if (value.is_object()) {
    for (const auto& [inner, given] : value.items()) {
      if (find_model_field(inner) != nullptr && !is_neutral(given)) return refuse_selection(place + "." + inner, given);
    }
  }
  std::string way;
  const Json* deep = find_selection(way, value);
  return deep == nullptr ? Status{} : refuse_selection(place + way, *deep);
}

Json model_members(const Json& body) {
  Json members = Json::object();
  for (const auto& [name, value] : body.items()) {
    if (find_model_field(name) != nullptr || !check_unknown_field(name, name, value)) members[name] = value;
  }
  return members;
}

Result<RequestSpec> read_model_choice(const Json& body) {
  RequestSpec spec;
  for (const auto& [name, value] : body.items()) {
    const ModelField* field = find_model_field(name);
    if (value.is_null()) continue;
    if (Status read = field != nullptr ? field->read(spec, name, value) : check_unknown_field(name, name, value); !read)
      return forward_error(read);
  }
  return spec;
}

}  // namespace slora
