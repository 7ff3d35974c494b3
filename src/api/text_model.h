#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "ops/sampling.h"
#include "text/chat_renderer.h"
#include "text/tokenizer.h"

namespace slora {

struct TextModelOptions {
  std::int32_t vocabulary_size = 0;                              // the width of the logits
  std::optional<std::filesystem::path> chat_template_file = {};  // replaces the folder's own templates and must be valid
};

// The text side of a model folder: its tokenizer, how it writes conversations, and how its answers are sampled and end. Constant after
// construction; any thread. Shared, because requests keep the one that they were made with.
class TextModel {
 public:
  // When the folder's own template can't be used, chats are refused and the model is still served.
  [[nodiscard]] static Result<std::shared_ptr<const TextModel>> load(const std::filesystem::path& folder, const TextModelOptions& options);

  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The conversation as the model's prompt.
  [[nodiscard]] Result<std::string> render(const Conversation& conversation) const;
  // Why chats are refused; nothing when they are served.
  [[nodiscard]] const std::optional<Error>& chat_refusal() const { return chat_refusal_; }
  // For requests that leave it to the model; with its end tokens.
  [[nodiscard]] const SamplingParams& sampling() const { return sampling_; }
  // The longest text of a single token.
  [[nodiscard]] std::size_t token_bytes_max() const { return token_bytes_max_; }

 private:
  TextModel() = default;

  std::shared_ptr<const Tokenizer> tokenizer_;  // shared: detokenizers hold it too
  std::optional<ChatRenderer> chat_;            // nothing when chats are refused
  std::optional<Error> chat_refusal_;
  SamplingParams sampling_;
  std::size_t token_bytes_max_ = 1;
};

}  // namespace slora
