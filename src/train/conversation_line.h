#pragma once
#include "base/result.h"
#include "formats/json.h"
#include "train/data_line.h"

namespace slora {

// Readers of the forms that are conversations. Requires: `line` is an object that has the keys of the form. Errors as parse_data_line().

// "messages" and maybe "tools": every assistant's turn is learned, without those of "weight": 0, "train": false or "training": false.
[[nodiscard]] Result<ConversationLine> read_messages_line(const Json& line);
// "prompt" and "completion", two lists of messages: assistants' turns of the latter are learned.
[[nodiscard]] Result<ConversationLine> read_prompt_messages_line(const Json& line);
// "instruction", "output" and maybe "input", "system", "history", as in Alpaca: the output is learned.
[[nodiscard]] Result<ConversationLine> read_instruction_line(const Json& line);
// "conversations" with "from" and "value", as in ShareGPT, and maybe "system", "tools": what a model says is learned.
[[nodiscard]] Result<ConversationLine> read_conversations_line(const Json& line);

}  // namespace slora
