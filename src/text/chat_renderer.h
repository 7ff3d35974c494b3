#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"
#include "formats/tokenizer_file.h"
#include "text/chat_template.h"

namespace slora {

// A conversation in the words of OpenAI's API. Borrowed for one call; a part that is absent is null.
struct Conversation {
  const Json& messages;                                // a list of objects with role and content
  const Json* tools = nullptr;                         // a list of objects
  const Json* documents = nullptr;                     // a list of objects
  const Json* kwargs = nullptr;                        // chat_template_kwargs: an object, further variables of the template
  std::optional<std::string_view> template_name = {};  // one of the model's named templates; nothing: chosen by tools and documents
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the prompt ends where the last message's text ends
};

// How one model writes conversations: its templates by name and its special tokens, which templates see as bos_token and so on.
// Constant after construction; any thread.
class ChatRenderer {
 public:
  // Fails when there is no template, or when the default one is not served.
  [[nodiscard]] static Result<ChatRenderer> create(const TokenizerFiles& files);

  // The conversation as the model's prompt. What the client did wrong comes back as invalid_request_error with its field.
  //
  // The template is the one that is named; else "tool_use" where there are tools, "rag" where there are documents and no tools,
  // if the model has such ones; else "default".
  [[nodiscard]] Result<std::string> render(const Conversation& conversation) const;

 private:
  struct Named {
    Result<ChatTemplate> parsed;
    bool names_content;  // its source holds the word: else no message could be continued
  };

  ChatRenderer() = default;

  [[nodiscard]] Result<const Named*> choose(const Conversation& conversation) const;

  std::map<std::string, Named, std::less<>> templates_;
  std::map<std::string, std::string, std::less<>> special_tokens_;
};

}  // namespace slora
