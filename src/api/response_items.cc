#include "api/response_items.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "api/api_error.h"

namespace slora {
namespace {

tl::unexpected<Error> member_needed(const std::string& place, const char* name) {
  const std::string at = fmt::format("{}.{}", place, name);
  return field_error(at, "{}: this field is needed", at);
}

Result<std::string> text_member(const std::string& place, const Json& object, const char* name) {
  const Json* member = find_member(object, name);
  if (member == nullptr) return member_needed(place, name);
  if (!member->is_string()) return expected_at(fmt::format("{}.{}", place, name), "a string", *member);
  return member->get<std::string>();
}

// A string, or a list of parts that are text, as the parts of a chat's message.
Result<Json> content_of(const std::string& place, const Json& value) {
  constexpr std::array<std::string_view, 5> text_types = {"input_text", "output_text", "text", "summary_text", "reasoning_text"};
  if (value.is_string()) return value;
  if (!value.is_array()) return expected_at(place, "a string or a list of parts", value);
  Json parts = Json::array();
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string part_place = fmt::format("{}[{}]", place, i);
    if (!value[i].is_object()) return expected_at(part_place, "an object with \"type\" and \"text\"", value[i]);
    Result<std::string> type = text_member(part_place, value[i], "type");
    if (!type) return forward_error(type);
    const bool is_refusal = *type == "refusal";
    if (!is_refusal && std::ranges::find(text_types, *type) == text_types.end()) {
      return expected_at(part_place + ".type", "\"input_text\" or \"output_text\", the only kinds of part that are served", *type);
    }
    Result<std::string> text = text_member(part_place, value[i], is_refusal ? "refusal" : "text");
    if (!text) return forward_error(text);
    parts.push_back({{"type", "text"}, {"text", std::move(*text)}});
  }
  return parts;
}

// The texts of a list of parts.
std::string joined_text(const Json& parts) {
  if (parts.is_string()) return parts.get<std::string>();
  std::string all;
  for (const Json& part : parts) all += (all.empty() ? "" : "\n") + part["text"].get<std::string>();
  return all;
}

class ItemReader {
 public:
  Status read(const std::string& place, const Json& item) {
    if (!item.is_object()) return expected_at(place, "an object with \"type\"", item);
    const Json* given = find_member(item, "type");
    const Json type = given != nullptr ? *given : item.contains("role") ? Json("message") : Json();
    if (type == "message") return read_message(place, item);
    if (type == "function_call") return read_call(place, item);
    if (type == "function_call_output") return read_output(place, item);
    if (type == "reasoning") return read_reasoning(place, item);
    if (type.is_null()) return member_needed(place, "type");
    const std::string at = place + ".type";
    if (type == "item_reference") return field_error(at, "{}: no items are stored; send the item itself", at);
    return expected_at(at, "\"message\", \"function_call\", \"function_call_output\" or \"reasoning\"", type);
  }

  Json messages = Json::array();

 private:
  Status read_message(const std::string& place, const Json& item) {
    Result<std::string> role = text_member(place, item, "role");
    if (!role) return forward_error(role);
    // Chat templates know no developer, who took the system's part at OpenAI.
    constexpr std::array<std::string_view, 4> roles = {"user", "assistant", "system", "developer"};
    if (std::ranges::find(roles, *role) == roles.end())
      return expected_at(place + ".role", R"("user", "assistant", "system" or "developer")", *role);
    const Json* given = find_member(item, "content");
    if (given == nullptr) return member_needed(place, "content");
    Result<Json> content = content_of(place + ".content", *given);
    if (!content) return forward_error(content);
    messages.push_back({{"role", *role == "developer" ? "system" : *role}, {"content", std::move(*content)}});
    if (*role == "assistant") add_reasoning();
    return {};
  }

  Status read_call(const std::string& place, const Json& item) {
    Result<std::string> id = text_member(place, item, "call_id"), name = text_member(place, item, "name"),
                        arguments = text_member(place, item, "arguments");
    for (Result<std::string>* member : {&id, &name, &arguments}) {
      if (!*member) return forward_error(*member);
    }
    if (messages.empty() || messages.back()["role"] != "assistant") {
      messages.push_back({{"role", "assistant"}});
      add_reasoning();
    }
    // Templates expect the object. Text that does not parse, which a model may have written, is passed on as text.
    Result<Json> parsed = parse_json(*arguments);
    Json function = {{"name", std::move(*name)}};
    function["arguments"] = parsed && parsed->is_object() ? std::move(*parsed) : Json(std::move(*arguments));
    messages.back()["tool_calls"].push_back({{"id", std::move(*id)}, {"type", "function"}, {"function", std::move(function)}});
    return {};
  }

  Status read_output(const std::string& place, const Json& item) {
    Result<std::string> id = text_member(place, item, "call_id");
    if (!id) return forward_error(id);
    const Json* output = find_member(item, "output");
    if (output == nullptr) return member_needed(place, "output");
    Result<Json> content = content_of(place + ".output", *output);
    if (!content) return forward_error(content);
    messages.push_back({{"role", "tool"}, {"tool_call_id", std::move(*id)}, {"content", std::move(*content)}});
    return {};
  }

  // The text itself where there is one, else its summary.
  Status read_reasoning(const std::string& place, const Json& item) {
    for (const char* name : {"summary", "content"}) {
      const Json* given = find_member(item, name);
      if (given == nullptr) continue;
      if (!given->is_array()) return expected_at(fmt::format("{}.{}", place, name), "a list of parts", *given);
      Result<Json> parts = content_of(fmt::format("{}.{}", place, name), *given);
      if (!parts) return forward_error(parts);
      if (!parts->empty()) reasoning_ = joined_text(*parts);
    }
    return {};
  }

  void add_reasoning() {
    if (!reasoning_.empty()) messages.back()["reasoning_content"] = std::exchange(reasoning_, {});
  }

  std::string reasoning_;  // of the assistant's next message
};

}  // namespace

Result<Json> messages_of_items(const std::string& place, const Json& items) {
  ItemReader reader;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (Status read = reader.read(fmt::format("{}[{}]", place, i), items[i]); !read) return forward_error(read);
  }
  if (reader.messages.empty()) return expected_at(place, "a list with at least one message", items);
  return std::move(reader.messages);
}

}  // namespace slora
