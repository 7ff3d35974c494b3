#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "server/request_spec.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace slora {

// The text side of a model folder: its tokenizer and how it writes conversations. Constant after construction; any thread.
class TextModel {
 public:
  // `chat_template_file` takes the place of the folder's own template. A template that can't be read refuses chats, not the model.
  [[nodiscard]] static Result<TextModel> load(const std::filesystem::path& folder,
                                              const std::optional<std::filesystem::path>& chat_template_file);

  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The conversation as the model's prompt, up to where its answer begins.
  [[nodiscard]] Result<std::string> render(std::span<const ChatMessage> messages) const;
  // Why chats are refused; nothing when they are served.
  [[nodiscard]] const std::optional<Error>& chat_refusal() const { return chat_refusal_; }

 private:
  TextModel() = default;

  std::shared_ptr<const Tokenizer> tokenizer_;  // shared as the tokenizer itself demands
  std::optional<ChatTemplate> chat_template_;
  std::optional<Error> chat_refusal_;
  std::optional<std::string> bos_token_, eos_token_;
};

}  // namespace slora
