#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "api/answer_forms.h"
#include "base/result.h"
#include "formats/text_files.h"
#include "ops/sampling.h"
#include "text/chat_renderer.h"
#include "text/tokenizer.h"

namespace slora {

struct TextModelOptions {
  std::int32_t vocabulary_size = 0;                              // rows of the model's tables: the width of the logits
  std::optional<std::filesystem::path> chat_template_file = {};  // replaces the folder's own templates and must be valid
  AnswerFormChoice answer_forms = {};                            // for the adapters too
};

// The text side of a model or of an adapter: its tokenizer, how it writes conversations, and how its answers are sampled and end. Constant
// after construction; any thread. Shared, because requests keep the one that they were made with.
class TextModel {
 public:
  // A base model's. When the folder's own template can't be used, chats are refused and the model is still served.
  [[nodiscard]] static Result<std::shared_ptr<const TextModel>> load(const std::filesystem::path& folder, const TextModelOptions& options);
  // An adapter's, whose weights have `added_tokens` tokens more than the base's: what its folder brings, over what the base has; `base`
  // itself where it brings nothing. E_ADAPTER_TOKENIZER where its tokens are not the base's with others added (docs/adapters.md), and the
  // errors of the files' readers.
  [[nodiscard]] static Result<std::shared_ptr<const TextModel>> of_adapter(const TextFiles& files,
                                                                           const std::shared_ptr<const TextModel>& base,
                                                                           std::int32_t added_tokens = 0);

  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The conversation as the model's prompt.
  [[nodiscard]] Result<std::string> render(const Conversation& conversation) const;
  // Why chats are refused; nothing when they are served.
  [[nodiscard]] const std::optional<Error>& chat_refusal() const { return chat_refusal_; }
  // How answers to chats are taken apart.
  [[nodiscard]] const AnswerForms& answer_forms() const { return answer_forms_; }
  // For requests that leave it to the model; with its end tokens.
  [[nodiscard]] const SamplingParams& sampling() const { return sampling_; }
  // The longest text of a single token.
  [[nodiscard]] std::size_t token_bytes_max() const { return token_bytes_max_; }
  // About how much memory it takes that it shares with no other.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  // What the text sides of a base's adapters are made from.
  struct Basis;

  TextModel() = default;

  [[nodiscard]] static Result<std::shared_ptr<const Tokenizer>> tokenizer_of_adapter(TokenizerFiles& own, const TextFiles& files,
                                                                                     const TextModel& base, std::int32_t vocabulary_size);
  [[nodiscard]] Status set_templates(const TokenizerFiles& files, std::string_view subject);
  // `base`: whose forms are shared where they are the same; may be null.
  void set_answer_forms(const TokenizerFiles& files, const AnswerFormChoice& choice, const TextModel* base);

  std::shared_ptr<const Tokenizer> tokenizer_;  // shared: adapters that add no tokens have the base's
  std::shared_ptr<const ChatRenderer> chat_;    // null when chats are refused; shared like the tokenizer
  std::optional<Error> chat_refusal_;
  AnswerForms answer_forms_;
  SamplingParams sampling_;
  std::size_t token_bytes_max_ = 1;
  std::size_t bytes_ = 0;
  std::shared_ptr<const Basis> basis_;  // of a base; shared by its copies
};

}  // namespace slora
