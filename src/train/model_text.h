#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/chat_renderer.h"
#include "text/tokenizer.h"

namespace slora {

// What training needs of a model's text side: its tokens, its templates, and which tokens end an answer. Constant after construction; any
// thread.
struct ModelText {
  std::shared_ptr<const Tokenizer> tokenizer;  // shared as Tokenizer::from_json gives it
  Result<ChatRenderer> chat;                   // or why conversations can't be rendered
  std::vector<TokenId> end_tokens;             // sorted
  std::optional<TokenId> eos, bos;             // the tokenizer's, if it has them
  std::int32_t vocabulary_size = 0;            // rows of the model's tables

  [[nodiscard]] bool is_end(TokenId token) const;
};

// Of a model's folder or GGUF file. `chat_template_file`: replaces the model's own templates; empty: none does.
[[nodiscard]] Result<ModelText> load_model_text(const std::string& model, const std::string& chat_template_file,
                                                std::int32_t vocabulary_size);

}  // namespace slora
