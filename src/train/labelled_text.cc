#include "train/labelled_text.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

namespace slora {
namespace {

enum class Prompt : bool { no, yes };

// Renders beginnings of one conversation.
class Beginnings {
 public:
  Beginnings(const ChatRenderer& chat, const ConversationLine& line) : chat_(chat), line_(line) {}

  // The first `count` messages, with the beginning of an answer or without.
  Result<MarkedText> render(std::size_t count, Prompt prompt) const {
    Json messages = Json::array();
    for (std::size_t i = 0; i < count; ++i) messages.push_back(line_.messages[i]);
    const Conversation conversation{
        .messages = messages, .tools = line_.tools.is_null() ? nullptr : &line_.tools, .add_generation_prompt = prompt == Prompt::yes};
    Result<MarkedText> rendered = chat_.render_marked(conversation);
    if (!rendered) return error("E_DATA", "{}", rendered.error().message);
    return rendered;
  }

 private:
  const ChatRenderer& chat_;
  const ConversationLine& line_;
};

// The parts that a template marks, without those of turns that are not learned.
Result<std::vector<TextRange>> marked_labels(const MarkedText& rendered, const ConversationLine& line) {
  std::vector<bool> is_learned;  // of the assistant's turns
  for (std::size_t i = 0; i < line.messages.size(); ++i) {
    if (line.messages[i]["role"] == "assistant") is_learned.push_back(line.is_learned[i]);
  }
  std::vector<TextRange> answers = rendered.answers;
  std::erase_if(answers, [](const TextRange& answer) { return answer.begin == answer.end; });
  if (std::ranges::find(is_learned, false) == is_learned.end()) return answers;
  if (answers.size() != is_learned.size()) {
    return error("E_DATA",
                 "the chat template marks {} parts of a conversation with {} turns of the assistant, so that it is not known which of them "
                 "are not to be learned; expected one {{% generation %}} block for each turn",
                 answers.size(), is_learned.size());
  }
  std::vector<TextRange> labels;
  for (std::size_t i = 0; i < is_learned.size(); ++i) {
    if (is_learned[i]) labels.push_back(answers[i]);
  }
  return labels;
}

// Whether the next prompt continues the text up to the last turn. Cuts off what stands at the end of a conversation only.
bool try_go_on(LabelledText& labelled, std::string_view prompt, std::string_view eos) {
  std::string_view text = labelled.text;
  if (!prompt.starts_with(text) && text.ends_with(eos)) text.remove_suffix(eos.size());
  if (!prompt.starts_with(text)) return false;
  labelled.labels.back().end = std::min(labelled.labels.back().end, text.size());
  return true;
}

tl::unexpected<Error> refuse_template(std::size_t message_index, std::string_view prompt, std::string_view with_answer) {
  const auto differs = std::ranges::mismatch(prompt, with_answer).in1 - prompt.begin();
  return error(
      "E_DATA",
      "the model's chat template doesn't write messages[{}] as the continuation of its prompt, so that it is not known what to learn: "
      "the prompt ends with {}, where the conversation goes on with {}; expected one that does, or that has {{% generation %}} "
      "blocks: --chat-template FILE",
      message_index, quote(prompt.substr(static_cast<std::size_t>(differs), 60)),
      quote(with_answer.substr(static_cast<std::size_t>(differs), 60)));
}

}  // namespace

Result<std::vector<LabelledText>> label_conversation(const ChatRenderer& chat, const ConversationLine& line, std::string_view eos,
                                                     const IsLongEnough& is_long_enough) {
  const Beginnings beginnings(chat, line);
  Result<MarkedText> whole = beginnings.render(line.messages.size(), Prompt::no);
  if (!whole) return forward_error(whole);
  if (whole->has_marks) {
    Result<std::vector<TextRange>> labels = marked_labels(*whole, line);
    if (!labels) return forward_error(labels);
    return std::vector{LabelledText{std::move(whole->text), std::move(*labels), false}};
  }
  std::vector<LabelledText> texts;
  for (std::size_t i = 1; i < line.messages.size(); ++i) {
    if (!line.is_learned[i]) continue;
    Result<MarkedText> prompt = beginnings.render(i, Prompt::yes);
    if (!prompt) return forward_error(prompt);
    Result<MarkedText> answered = beginnings.render(i + 1, Prompt::no);
    if (!answered) return forward_error(answered);
    if (!answered->text.starts_with(prompt->text)) return refuse_template(i, prompt->text, answered->text);
    const bool goes_on = !texts.empty() && try_go_on(texts.back(), prompt->text, eos);
    if (!goes_on) texts.push_back({{}, {}, true});
    texts.back().labels.push_back({prompt->text.size(), answered->text.size()});
    texts.back().text = std::move(answered->text);
    if (goes_on && is_long_enough(texts.back().text)) break;
  }
  return texts;
}

}  // namespace slora
