#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_renderer.h"
#include "text/utf8.h"
#include "train/data_line.h"

namespace slora {

// A text with all its special tokens, and which parts of it are learned.
struct LabelledText {
  std::string text;
  std::vector<TextRange> labels;  // in order
  // The text before each label is the prompt of what is learned, as a server renders it: the same tokens must begin both. Otherwise the
  // parts are marked by the template or the data.
  bool labels_follow_prompts = false;
};

// How long a text is that needs no further turns, as its tokens would be cut off.
using IsLongEnough = std::function<bool(std::string_view text)>;

// The conversation as the chat template writes it, with the turns that are learned. Where the template marks them by {% generation %}
// blocks that is one text. Where it doesn't, each turn's prompt is rendered as a server would, and again with the turn: that must continue
// the prompt, or the template is refused by name (E_DATA). A template that writes former turns in another way than the last one, as those
// do that leave out earlier reasoning, gives a text for each turn. `eos`, the text of the tokenizer's end token, may follow the last turn
// only. A turn at the start answers nothing, and is not learned.
[[nodiscard]] Result<std::vector<LabelledText>> label_conversation(const ChatRenderer& chat, const ConversationLine& line,
                                                                   std::string_view eos, const IsLongEnough& is_long_enough);

}  // namespace slora
