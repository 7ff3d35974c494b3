#pragma once
#include <string>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// The items of a response's input as the messages of a chat: a function call joins the assistant's message before it, its output is a
// message of role "tool", and reasoning goes with the assistant's next message. Items of other types are refused by their place. `place` is
// where the list stands.
[[nodiscard]] Result<Json> messages_of_items(const std::string& place, const Json& items);

}  // namespace slora
