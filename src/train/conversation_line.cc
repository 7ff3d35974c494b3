#include "train/conversation_line.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "text/chat_messages.h"
#include "train/data_error.h"

namespace slora {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
constexpr const char* kRolesText = R"("system", "developer", "user", "assistant" or "tool")";

// Whether a message's switches leave it in: "weight" of OpenAI, "train" and "training" of Axolotl.
Result<bool> reads_as_learned(const std::string& place, const Json& message, bool is_assistant) {
  bool is_learned = is_assistant;
  if (const Json* weight = find_member(message, "weight")) {
    if (*weight != 0 && *weight != 1) return refuse_data(place + ".weight", "0 or 1", weight);
    if (*weight == 0) is_learned = false;
  }
  for (const char* name : {"train", "training"}) {
    const Json* flag = find_member(message, name);
    if (flag == nullptr) continue;
    const std::string at = place + "." + name;
    if (!flag->is_boolean()) return refuse_data(at, "true or false", flag);
    if (*flag == true && !is_assistant) return refuse_data(at, "false, as only what an assistant says is learned", flag);
    if (*flag == false) is_learned = false;
  }
  return is_learned;
}

Status read_calls(const std::string& place, Json& message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) return {};
  if (!calls->is_array()) return refuse_data(place + ".tool_calls", "a list of tool calls", &*calls);
  for (std::size_t i = 0; i < calls->size(); ++i) {
    Json& call = (*calls)[i];
    const std::string at = fmt::format("{}.tool_calls[{}]", place, i);
    if (!call.is_object()) return refuse_data(at, "an object with \"function\"", &call);
    const auto function = call.find("function");
    if (function == call.end() || !function->is_object() || find_member(*function, "name") == nullptr) {
      return refuse_data(at + ".function", "an object with \"name\" and \"arguments\"", function == call.end() ? nullptr : &*function);
    }
    if (const auto arguments = function->find("arguments"); arguments != function->end()) *arguments = call_arguments(*arguments);
  }
  return {};
}

Status add_message(ConversationLine& line, const std::string& place, const Json& value) {
  if (!value.is_object()) return refuse_data(place, "an object with \"role\" and \"content\"", &value);
  const Json* role = find_member(value, "role");
  const bool is_known = role != nullptr && std::ranges::any_of(kRoles, [&](std::string_view known) { return *role == known; });
  if (!is_known) return refuse_data(place + ".role", kRolesText, role);
  const bool is_assistant = *role == "assistant";
  const Json* content = find_member(value, "content");
  const bool may_lack_content = is_assistant && find_member(value, "tool_calls") != nullptr;
  const bool has_content = content != nullptr && (content->is_string() || content->is_array());
  if (!has_content && (content != nullptr || !may_lack_content)) {
    return refuse_data(place + ".content", "a string or a list of text parts", content);
  }
  const Result<bool> is_learned = reads_as_learned(place, value, is_assistant);
  if (!is_learned) return tl::unexpected(is_learned.error());
  Json message = value;
  for (const char* name : {"weight", "train", "training"}) message.erase(name);
  if (Status read = read_calls(place, message); !read) return read;
  line.messages.push_back(std::move(message));
  line.is_learned.push_back(*is_learned);
  return {};
}

Status add_messages(ConversationLine& line, const Json& object, const char* key) {
  const Json* messages = find_member(object, key);
  if (!messages->is_array() || messages->empty()) return refuse_data(key, "a list with at least one message", messages);
  for (std::size_t i = 0; i < messages->size(); ++i) {
    if (Status added = add_message(line, fmt::format("{}[{}]", key, i), (*messages)[i]); !added) return added;
  }
  return {};
}

// Some programs write the list as JSON text.
Status read_data_tools(ConversationLine& line, const Json& object) {
  const Json* tools = find_member(object, "tools");
  if (tools == nullptr || *tools == "") return {};
  Json list = *tools;
  if (tools->is_string()) {
    Result<Json> parsed = parse_json(tools->get_ref<const std::string&>());
    if (!parsed) return refuse_data("tools", "a list of objects, or that as JSON text", tools);
    list = std::move(*parsed);
  }
  const bool is_list = list.is_array() && std::ranges::all_of(list, [](const Json& tool) { return tool.is_object(); });
  if (!is_list) return refuse_data("tools", "a list of objects, or that as JSON text", tools);
  if (!list.empty()) line.tools = std::move(list);
  return {};
}

enum class Learned : bool { no, yes };

void add_text_message(ConversationLine& line, const char* role, const std::string& content, Learned learned) {
  line.messages.push_back({{"role", role}, {"content", content}});
  line.is_learned.push_back(learned == Learned::yes);
}

// The text of a member; nothing where it is absent.
Result<std::optional<std::string>> text_member(const Json& object, const char* key) {
  const Json* text = find_member(object, key);
  if (text == nullptr) return std::nullopt;
  if (!text->is_string()) return refuse_data(key, "a string", text);
  return text->get<std::string>();
}

Status add_system(ConversationLine& line, const Json& object) {
  const Result<std::optional<std::string>> text = text_member(object, "system");
  if (!text) return tl::unexpected(text.error());
  if (*text && !(*text)->empty()) add_text_message(line, "system", **text, Learned::no);
  return {};
}

Status add_history(ConversationLine& line, const Json& object) {
  const Json* history = find_member(object, "history");
  if (history == nullptr) return {};
  if (!history->is_array()) return refuse_data("history", "a list of pairs of texts", history);
  for (std::size_t i = 0; i < history->size(); ++i) {
    const Json& pair = (*history)[i];
    const bool is_pair = pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string();
    if (!is_pair) return refuse_data(fmt::format("history[{}]", i), "a pair of texts: what the user said, and the answer", &pair);
    add_text_message(line, "user", pair[0].get<std::string>(), Learned::no);
    add_text_message(line, "assistant", pair[1].get<std::string>(), Learned::no);
  }
  return {};
}

struct Speaker {
  std::string_view from;
  const char* role;
};
constexpr std::array<Speaker, 9> kSpeakers = {{{"human", "user"},
                                               {"user", "user"},
                                               {"gpt", "assistant"},
                                               {"assistant", "assistant"},
                                               {"model", "assistant"},
                                               {"system", "system"},
                                               {"function_call", "assistant"},
                                               {"observation", "tool"},
                                               {"tool", "tool"}}};

// The calls that a turn of "function_call" holds as JSON text: an object with name and arguments, or a list of such.
Result<Json> calls_of(const std::string& place, const std::string& text) {
  constexpr const char* kExpected = R"(JSON text of {"name": ..., "arguments": ...}, or of a list of such)";
  const Json found = text;
  Result<Json> parsed = parse_json(text);
  if (!parsed) return refuse_data(place, kExpected, &found);
  const Json list = parsed->is_array() ? std::move(*parsed) : Json::array({std::move(*parsed)});
  Json calls = Json::array();
  for (const Json& call : list) {
    if (!call.is_object() || find_member(call, "name") == nullptr) return refuse_data(place, kExpected, &found);
    const Json* arguments = find_member(call, "arguments");
    calls.push_back(
        {{"type", "function"},
         {"function", {{"name", call["name"]}, {"arguments", arguments == nullptr ? Json::object() : call_arguments(*arguments)}}}});
  }
  if (calls.empty()) return refuse_data(place, kExpected, &found);
  return calls;
}

Status add_turn(ConversationLine& line, const std::string& place, const Json& turn) {
  if (!turn.is_object()) return refuse_data(place, R"(an object with "from" and "value")", &turn);
  const Json* from = find_member(turn, "from");
  const auto speaker = std::ranges::find_if(kSpeakers, [&](const Speaker& known) { return from != nullptr && *from == known.from; });
  if (speaker == kSpeakers.end()) {
    return refuse_data(place + ".from", R"("human", "gpt", "system", "function_call" or "observation")", from);
  }
  const Json* value = find_member(turn, "value");
  if (value == nullptr || !value->is_string()) return refuse_data(place + ".value", "a string", value);
  const Result<bool> is_learned = reads_as_learned(place, turn, speaker->role == std::string_view("assistant"));
  if (!is_learned) return tl::unexpected(is_learned.error());
  add_text_message(line, speaker->role, value->get<std::string>(), *is_learned ? Learned::yes : Learned::no);
  if (speaker->from != "function_call") return {};
  Result<Json> calls = calls_of(place + ".value", value->get<std::string>());
  if (!calls) return forward_error(calls);
  line.messages.back()["content"] = "";
  line.messages.back()["tool_calls"] = std::move(*calls);
  return {};
}

}  // namespace

Result<ConversationLine> read_messages_line(const Json& line) {
  ConversationLine read;
  if (Status added = add_messages(read, line, "messages"); !added) return forward_error(added);
  if (Status tools = read_data_tools(read, line); !tools) return forward_error(tools);
  return read;
}

Result<ConversationLine> read_prompt_messages_line(const Json& line) {
  ConversationLine read;
  if (Status added = add_messages(read, line, "prompt"); !added) return forward_error(added);
  read.is_learned.assign(read.messages.size(), false);
  if (Status added = add_messages(read, line, "completion"); !added) return forward_error(added);
  if (Status tools = read_data_tools(read, line); !tools) return forward_error(tools);
  return read;
}

Result<ConversationLine> read_instruction_line(const Json& line) {
  ConversationLine read;
  if (Status added = add_system(read, line); !added) return forward_error(added);
  if (Status added = add_history(read, line); !added) return forward_error(added);
  const Result<std::optional<std::string>> instruction = text_member(line, "instruction"), input = text_member(line, "input"),
                                           output = text_member(line, "output");
  for (const auto* text : {&instruction, &input, &output}) {
    if (!*text) return tl::unexpected(text->error());
  }
  const bool has_input = *input && !(*input)->empty();
  add_text_message(read, "user", has_input ? **instruction + '\n' + **input : **instruction, Learned::no);
  add_text_message(read, "assistant", **output, Learned::yes);
  return read;
}

Result<ConversationLine> read_conversations_line(const Json& line) {
  ConversationLine read;
  if (Status added = add_system(read, line); !added) return forward_error(added);
  const Json* turns = find_member(line, "conversations");
  if (!turns->is_array() || turns->empty()) return refuse_data("conversations", "a list with at least one turn", turns);
  for (std::size_t i = 0; i < turns->size(); ++i) {
    if (Status added = add_turn(read, fmt::format("conversations[{}]", i), (*turns)[i]); !added) return forward_error(added);
  }
  if (Status tools = read_data_tools(read, line); !tools) return forward_error(tools);
  return read;
}

}  // namespace slora
