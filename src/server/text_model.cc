#include "server/text_model.h"

#include <nlohmann/json.hpp>

#include "formats/tokenizer_file.h"

namespace slora {
namespace {

constexpr std::size_t kTemplateBytesMax = 1 << 20;

}  // namespace

Result<TextModel> TextModel::load(const std::filesystem::path& folder, const std::optional<std::filesystem::path>& chat_template_file) {
  Result<TokenizerFiles> files = read_tokenizer_files(folder.string());
  if (!files) return forward_error(files);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer);
  if (!tokenizer) return forward_error(tokenizer);

  TextModel model;
  model.tokenizer_ = std::move(*tokenizer);
  model.bos_token_ = files->bos_token;
  model.eos_token_ = files->eos_token;
  std::string source = files->chat_template;
  if (chat_template_file) {
    Result<std::string> text = read_text_file(chat_template_file->string(), kTemplateBytesMax);
    if (!text) return forward_error(text);
    source = std::move(*text);
  }
  if (source.empty()) {
    model.chat_refusal_ =
        Error{"invalid_request_error",
              "This model has no chat template; use /v1/completions, or start the server with --chat-template FILE.", "messages"};
    return model;
  }
  Result<ChatTemplate> chat_template = ChatTemplate::parse(std::move(source));
  if (chat_template) {
    model.chat_template_ = std::move(*chat_template);
  } else {
    model.chat_refusal_ =
        Error{"invalid_request_error", "This model's chat template is not served: " + chat_template.error().message, "messages"};
  }
  return model;
}

Result<std::string> TextModel::render(std::span<const ChatMessage> messages) const {
  if (chat_refusal_) return tl::unexpected<Error>(*chat_refusal_);
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    Json entry = {{"role", message.role}, {"content", message.content}};
    if (!message.name.empty()) entry["name"] = message.name;
    list.push_back(std::move(entry));
  }
  Json context = {{"messages", std::move(list)}, {"add_generation_prompt", true}};
  if (bos_token_) context["bos_token"] = *bos_token_;
  if (eos_token_) context["eos_token"] = *eos_token_;
  Result<std::string> text = chat_template_->render(context);
  if (!text && text.error().param.empty()) text.error().param = "messages";
  return text;
}

}  // namespace slora
