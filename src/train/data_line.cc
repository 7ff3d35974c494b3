#include "train/data_line.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "train/conversation_line.h"
#include "train/data_error.h"

namespace slora {
namespace {

constexpr std::int64_t kIgnoredLabel = -100;  // of a token that is not learned, as in transformers

using Content = decltype(DataLine::content);

template <class Line>
Result<Content> as_content(Result<Line> line) {
  if (!line) return forward_error(line);
  return Content(std::move(*line));
}

Result<Content> read_completion_line(const Json& line, std::int32_t) {
  const Json &prompt = *find_member(line, "prompt"), &completion = *find_member(line, "completion");
  if (prompt.is_array() && completion.is_array()) return as_content(read_prompt_messages_line(line));
  if (!prompt.is_string() && !prompt.is_array()) return refuse_data("prompt", "a string or a list of messages", &prompt);
  if (!prompt.is_string()) return refuse_data("completion", "a list of messages, as the prompt is one", &completion);
  if (!completion.is_string()) return refuse_data("completion", "a string, as the prompt is one", &completion);
  return Content(CompletionLine{prompt.get<std::string>(), completion.get<std::string>()});
}

Result<Content> read_text_line(const Json& line, std::int32_t) {
  const Json& text = *find_member(line, "text");
  if (!text.is_string()) return refuse_data("text", "a string", &text);
  return Content(TextLine{text.get<std::string>()});
}

Result<Content> read_segments_line(const Json& line, std::int32_t) {
  const Json& segments = *find_member(line, "segments");
  if (!segments.is_array() || segments.empty()) return refuse_data("segments", "a list with at least one segment", &segments);
  SegmentsLine read;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Json& segment = segments[i];
    const std::string place = fmt::format("segments[{}]", i);
    if (!segment.is_object()) return refuse_data(place, R"(an object with "label" and "text")", &segment);
    const Json *label = find_member(segment, "label"), *text = find_member(segment, "text");
    if (label == nullptr || !label->is_boolean()) return refuse_data(place + ".label", "true or false", label);
    if (text == nullptr || !text->is_string()) return refuse_data(place + ".text", "a string", text);
    const std::size_t begin = read.text.size();
    read.text += text->get_ref<const std::string&>();
    if (*label == true) read.labels.push_back({begin, read.text.size()});
  }
  return Content(std::move(read));
}

// An integer of the file, which may have been written without a sign.
std::optional<std::int64_t> integer_of(const Json& value) {
  if (!value.is_number_integer()) return {};
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX}) return {};
  return value.get<std::int64_t>();
}

Result<Content> read_tokens_line(const Json& line, std::int32_t vocabulary_size) {
  const Json &ids = *find_member(line, "input_ids"), &labels = *find_member(line, "labels");
  if (!ids.is_array() || ids.empty()) return refuse_data("input_ids", "a list with at least one token", &ids);
  if (!labels.is_array() || labels.size() != ids.size()) {
    const Json count = labels.is_array() ? Json(fmt::format("{} numbers", labels.size())) : labels;
    return refuse_data("labels", fmt::format("a list of {} numbers, as many as input_ids has", ids.size()), &count);
  }
  TokensLine read;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::optional<std::int64_t> id = integer_of(ids[i]), label = integer_of(labels[i]);
    if (!id || *id < 0 || *id >= vocabulary_size) {
      return refuse_data(fmt::format("input_ids[{}]", i), fmt::format("a token of the model, from 0 to {}", vocabulary_size - 1), &ids[i]);
    }
    if (label != id && label != kIgnoredLabel) {
      return refuse_data(fmt::format("labels[{}]", i), fmt::format("{}, or {} as in input_ids", kIgnoredLabel, *id), &labels[i]);
    }
    read.ids.push_back(static_cast<TokenId>(*id));
    read.labels.push_back(label == id);
  }
  return Content(std::move(read));
}

// A form of a line: keys that tell it, further ones that it reads, and its reader.
struct Form {
  std::array<const char*, 2> keys;  // both must be there; the second may be empty
  std::array<const char*, 3> further;
  Result<Content> (*read)(const Json& line, std::int32_t vocabulary_size);
};

// The first that has its keys counts: data sets of instructions often hold the "text" that was made of them, too.
constexpr std::array<Form, 7> kForms = {{
    {{"messages", ""}, {"tools"}, [](const Json& line, std::int32_t) { return as_content(read_messages_line(line)); }},
    {{"conversations", ""}, {"system", "tools"}, [](const Json& line, std::int32_t) { return as_content(read_conversations_line(line)); }},
    {{"segments", ""}, {}, read_segments_line},
    {{"input_ids", "labels"}, {}, read_tokens_line},
    {{"prompt", "completion"}, {"tools"}, read_completion_line},
    {{"instruction", "output"},
     {"input", "system", "history"},
     [](const Json& line, std::int32_t) { return as_content(read_instruction_line(line)); }},
    {{"text", ""}, {}, read_text_line},
}};

bool has_keys(const Json& line, const Form& form) {
  return std::ranges::all_of(form.keys, [&](std::string_view key) { return key.empty() || find_member(line, key) != nullptr; });
}

bool is_read(const Form& form, std::string_view key) {
  const auto is_key = [key](const char* known) { return known != nullptr && key == known; };
  return std::ranges::any_of(form.keys, is_key) || std::ranges::any_of(form.further, is_key);
}

tl::unexpected<Error> refuse_form(const Json& line) {
  std::string keys;
  for (const auto& [key, value] : line.items()) keys += (keys.empty() ? "" : ", ") + quote(key);
  if (keys.size() > 200) keys = keys.substr(0, 200) + "...";
  return error("E_DATA",
               R"(expected the keys of one form: "messages"; "prompt" and "completion"; "text"; "instruction" and "output"; )"
               R"("conversations"; "segments"; "input_ids" and "labels"; found {})",
               keys.empty() ? "none" : keys);
}

}  // namespace

Result<DataLine> parse_data_line(std::string_view text, std::int32_t vocabulary_size) {
  const Result<Json> line = parse_json(text);
  if (!line) return tl::unexpected(line.error());
  if (!line->is_object()) {
    return error("E_DATA", "expected a JSON object on each line, found {}{}", type_name(*line),
                 line->is_array() ? "; jq -c '.[]' FILE makes lines of a list" : "");
  }
  const auto form = std::ranges::find_if(kForms, [&](const Form& known) { return has_keys(*line, known); });
  if (form == kForms.end()) return refuse_form(*line);
  Result<Content> content = form->read(*line, vocabulary_size);
  if (!content) return forward_error(content);
  DataLine read{std::move(*content), {}};
  for (const auto& [key, value] : line->items()) {
    if (!is_read(*form, key)) read.unknown_keys.push_back(key);
  }
  return read;
}

}  // namespace slora
