#include "api/text_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/sampling_defaults.h"
#include "formats/generation_config.h"
#include "formats/tokenizer_file.h"
#include "text/tokenizer_class.h"

namespace slora {
namespace {

constexpr std::size_t kTemplateBytesMax = 1 << 20;

std::size_t longest_token_bytes(const Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::size_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    longest = std::max(longest, tokenizer.token_text(static_cast<TokenId>(id)).size());
  }
  return longest;
}

}  // namespace

Result<std::shared_ptr<const TextModel>> TextModel::load(const std::filesystem::path& folder, const TextModelOptions& options) {
  Result<TokenizerFiles> files = read_tokenizer_files(folder.string());
  if (!files) return forward_error(files);
  apply_tokenizer_class(*files);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer);
  if (!tokenizer) return forward_error(tokenizer);
  const Result<GenerationConfig> generation = read_generation_config(folder.string(), options.vocabulary_size);
  if (!generation) return tl::unexpected(generation.error());

  TextModel model;
  model.tokenizer_ = std::move(*tokenizer);
  model.token_bytes_max_ = longest_token_bytes(*model.tokenizer_);
  model.sampling_ = sampling_defaults(*generation);
  if (options.chat_template_file) {
    Result<std::string> text = read_text_file(options.chat_template_file->string(), kTemplateBytesMax);
    if (!text) return forward_error(text);
    files->chat_template = std::move(*text);
    files->named_templates.clear();
  }
  Result<ChatRenderer> chat = ChatRenderer::create(*files);
  if (!chat && options.chat_template_file) {
    return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", options.chat_template_file->string(), chat.error().message);
  }
  if (chat) {
    model.chat_ = std::move(*chat);
  } else if (chat.error().code == "E_NO_CHAT_TEMPLATE") {
    model.chat_refusal_ =
        Error{"invalid_request_error",
              "This model has no chat template; use /v1/completions, or start the server with --chat-template FILE.", "messages"};
  } else {
    model.chat_refusal_ = Error{"invalid_request_error", "This model's chat template is not served: " + chat.error().message, "messages"};
  }
  return std::make_shared<const TextModel>(std::move(model));
}

Result<std::string> TextModel::render(const Conversation& conversation) const {
  if (chat_refusal_) return tl::unexpected<Error>(*chat_refusal_);
  return chat_->render(conversation);
}

}  // namespace slora
