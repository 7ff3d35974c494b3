#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"
#include "formats/tokenizer_file.h"
#include "text/chat_template.h"
#include "text/marked_text.h"

namespace slora {

// A conversation as a client of OpenAI's API sends it. Borrowed for one call; a part that is absent is null.
struct Conversation {
  const Json& messages;                                // a list of objects with role and content
  const Json* tools = nullptr;                         // a list of objects
  const Json* documents = nullptr;                     // a list of objects
  const Json* kwargs = nullptr;                        // chat_template_kwargs: an object, further variables of the template
  std::optional<std::string_view> template_name = {};  // one of the model's named templates; empty: chosen by tools and documents
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the prompt ends where the last message's text ends
};

// Renders conversations to prompts for one model: its templates by name and its special tokens, which templates see as bos_token and so on.
// Constant after construction; any thread.
class ChatRenderer {
 public:
  // Fails when there is no template, or when the default one is not supported.
  [[nodiscard]] static Result<ChatRenderer> create(const TokenizerFiles& files);

  // The conversation as the model's prompt. The client's mistakes are returned as invalid_request_error with the field's name.
  //
  // The template is the named one; else "tool_use" if there are tools, or "rag" if there are documents and no tools, where the
  // model has templates of these names; else "default".
  [[nodiscard]] Result<std::string> render(const Conversation& conversation) const;
  // The same with what the template marks as the assistant's. Requires: the final message isn't continued.
  [[nodiscard]] Result<MarkedText> render_marked(const Conversation& conversation) const;

 private:
  struct Named {
    Result<ChatTemplate> parsed;
    bool names_content;  // its source contains "content"; without it no message can be continued
  };

  ChatRenderer() = default;

  [[nodiscard]] Result<const Named*> choose(const Conversation& conversation) const;
  // `messages`: the conversation's, in the form that the template takes.
  [[nodiscard]] Result<MarkedText> render_messages(const ChatTemplate& chat_template, const Conversation& conversation,
                                                   Json messages) const;

  std::map<std::string, Named, std::less<>> templates_;
  std::map<std::string, std::string, std::less<>> special_tokens_;
};

}  // namespace slora
