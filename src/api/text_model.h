#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "text/chat_renderer.h"
#include "text/tokenizer.h"

namespace slora {

// The text side of a model folder: its tokenizer and how it writes conversations. Constant after construction; any thread.
class TextModel {
 public:
  // `chat_template_file` replaces the folder's own templates and must be valid. When the folder's own template can't be used, chats are
  // refused and the model is still served.
  [[nodiscard]] static Result<TextModel> load(const std::filesystem::path& folder,
                                              const std::optional<std::filesystem::path>& chat_template_file);

  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The conversation as the model's prompt.
  [[nodiscard]] Result<std::string> render(const Conversation& conversation) const;
  // Why chats are refused; nothing when they are served.
  [[nodiscard]] const std::optional<Error>& chat_refusal() const { return chat_refusal_; }

 private:
  TextModel() = default;

  std::shared_ptr<const Tokenizer> tokenizer_;  // shared: detokenizers hold it too
  std::optional<ChatRenderer> chat_;            // nothing when chats are refused
  std::optional<Error> chat_refusal_;
};

}  // namespace slora
