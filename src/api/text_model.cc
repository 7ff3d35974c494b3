#include "api/text_model.h"

#include <nlohmann/json.hpp>

#include "formats/tokenizer_file.h"
#include "text/tokenizer_class.h"

namespace slora {
namespace {

constexpr std::size_t kTemplateBytesMax = 1 << 20;

}  // namespace

Result<TextModel> TextModel::load(const std::filesystem::path& folder, const std::optional<std::filesystem::path>& chat_template_file) {
  Result<TokenizerFiles> files = read_tokenizer_files(folder.string());
  if (!files) return forward_error(files);
  apply_tokenizer_class(*files);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer);
  if (!tokenizer) return forward_error(tokenizer);

  TextModel model;
  model.tokenizer_ = std::move(*tokenizer);
  if (chat_template_file) {
    Result<std::string> text = read_text_file(chat_template_file->string(), kTemplateBytesMax);
    if (!text) return forward_error(text);
    files->chat_template = std::move(*text);
    files->named_templates.clear();
  }
  Result<ChatRenderer> chat = ChatRenderer::create(*files);
  if (!chat && chat_template_file) {
    return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", chat_template_file->string(), chat.error().message);
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
  return model;
}

Result<std::string> TextModel::render(const Conversation& conversation) const {
  if (chat_refusal_) return tl::unexpected<Error>(*chat_refusal_);
  return chat_->render(conversation);
}

}  // namespace slora
