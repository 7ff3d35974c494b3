#include "constraint/checks/check_constraint.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "constraint/checks/grammar_check.h"
#include "constraint/checks/regex_check.h"
#include "constraint/checks/schema_check.h"
#include "constraint/checks/tag_check.h"

namespace slora {
namespace {

constexpr std::size_t kChoicesMax = 10000;

ConstraintSpec with(const ConstraintSpec& spec, ConstraintKind kind, std::string text) {
  ConstraintSpec checked = spec;
  checked.kind = kind;
  checked.text = std::move(text);
  checked.disable_additional_properties = false;  // said by the schema now
  return checked;
}

Result<ConstraintSpec> check_choices(const ConstraintSpec& spec) {
  const Result<Json> list = parse_json(spec.text, {.bytes_max = kFormBytesMax});
  if (!list) return error("bad_constraint", "The choices: {}", list.error().message);
  if (!list->is_array() || list->empty() || list->size() > kChoicesMax)
    return error("bad_constraint", "The choices: expected a list of 1 to {} strings, found {}", kChoicesMax, shown(*list));
  std::vector<std::string> choices;
  for (const Json& choice : *list) {
    if (!choice.is_string() || choice.get_ref<const std::string&>().empty())
      return error("bad_constraint", "The choices: expected strings that are not empty, found {}", shown(choice));
    choices.push_back(choice.get<std::string>());
  }
  return with(spec, ConstraintKind::grammar, grammar_of_choices(choices));
}

}  // namespace

Result<ConstraintSpec> check_constraint(const ConstraintSpec& spec) {
  if (spec.text.size() > kFormBytesMax)
    return error("unsupported_constraint", "The form: expected at most {} bytes, found {}", kFormBytesMax, spec.text.size());
  const OtherProperties others = spec.disable_additional_properties ? OtherProperties::none : OtherProperties::as_the_schema_says;
  switch (spec.kind) {
    case ConstraintKind::json_schema: {
      Result<Json> schema = check_schema_text(spec.text, others);
      if (!schema) return forward_error(schema);
      return with(spec, spec.kind, schema->dump());
    }
    case ConstraintKind::regex:
      if (Status served = check_regex(spec.text, RegexUse::answer, "The form"); !served) return forward_error(served);
      return with(spec, spec.kind, spec.text);
    case ConstraintKind::choice:
      return check_choices(spec);
    case ConstraintKind::grammar:
      if (Status served = check_grammar(spec.text); !served) return forward_error(served);
      return with(spec, spec.kind, spec.text);
    case ConstraintKind::structural_tag: {
      Result<Json> tag = check_tag(spec.text, others);
      if (!tag) return forward_error(tag);
      return with(spec, spec.kind, tag->dump());
    }
  }
  return error("bad_constraint", "The form: unknown kind");
}

}  // namespace slora
