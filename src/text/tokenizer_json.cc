#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>

namespace slora {

Result<const Json*> part_at(const Json& tokenizer_json, std::string_view key) {
  const Json* part = find_member(tokenizer_json, key);
  if (part != nullptr && !part->is_object())
    return error("E_TOKENIZER", "tokenizer.json: {}: expected an object, found {}", key, type_name(*part));
  return part;
}

Result<std::string> type_at(const Json& step, std::string_view path) {
  if (!step.is_object()) return error("E_TOKENIZER", "tokenizer.json: {}: expected an object, found {}", path, type_name(step));
  return string_at(step, "type");
}

Status add_steps(const Json& sequence, std::string_view key, std::string_view path,
                 const std::function<Status(const Json& step, const std::string& path)>& add) {
  const Json* list = find_member(sequence, key);
  if (list == nullptr || !list->is_array()) return error("E_TOKENIZER", "tokenizer.json: {}: Sequence without a list \"{}\"", path, key);
  for (std::size_t i = 0; i < list->size(); ++i) {
    if (Status added = add((*list)[i], fmt::format("{}.{}[{}]", path, key, i)); !added) return added;
  }
  return {};
}

Result<Regex> pattern_at(const Json& step, std::string_view path) {
  const Json* pattern = find_member(step, "pattern");
  if (pattern != nullptr && pattern->is_object()) {
    if (const Json* text = find_member(*pattern, "String"); text != nullptr && text->is_string()) {
      return Regex::compile_literal(text->get_ref<const std::string&>());
    }
    if (const Json* regex = find_member(*pattern, "Regex"); regex != nullptr && regex->is_string()) {
      return Regex::compile(regex->get_ref<const std::string&>());
    }
  }
  return error("E_TOKENIZER", "tokenizer.json: {}: a step without a pattern {{\"String\": ...}} or {{\"Regex\": ...}}", path);
}

Result<std::string> literal_pattern_at(const Json& step, std::string_view path) {
  const Json* pattern = find_member(step, "pattern");
  const Json* text = pattern != nullptr && pattern->is_object() ? find_member(*pattern, "String") : nullptr;
  if (text == nullptr || !text->is_string() || text->get_ref<const std::string&>().empty())
    return error("E_TOKENIZER", "tokenizer.json: {}: only a pattern {{\"String\": ...}} of some text is supported", path);
  return text->get<std::string>();
}

Result<char32_t> character_at(const Json& step, std::string_view key, std::string_view path) {
  Result<std::string> text = string_at(step, key);
  if (!text) return forward_error(text);
  if (!text->empty()) {
    const CodePoint first = first_code_point(*text);
    if (first.bytes == text->size()) return first.value;
  }
  return error("E_TOKENIZER", "tokenizer.json: {}: {} must be one character, found \"{}\"", path, key, *text);
}

Result<bool> flag_at(const Json& step, std::string_view key, std::optional<bool> fallback) {
  Result<std::optional<bool>> flag = optional_bool_at(step, key);
  if (!flag) return forward_error(flag);
  if (flag->has_value()) return **flag;
  if (fallback.has_value()) return *fallback;
  return error("E_TOKENIZER", "tokenizer.json: \"{}\" is missing", key);
}

tl::unexpected<Error> unsupported_step(std::string_view path, std::string_view type) {
  return error("E_TOKENIZER", "tokenizer.json: {} of type \"{}\" is not supported", path, type);
}

}  // namespace slora
