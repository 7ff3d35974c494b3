#include "train/model_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/generation_config.h"
#include "formats/tokenizer_file.h"
#include "text/end_tokens.h"
#include "text/tokenizer_class.h"
#include "text/tokenizer_settings.h"

namespace slora {
namespace {

constexpr std::size_t kTemplateFileBytesMax = std::size_t{1} << 20;

std::optional<TokenId> named_token(const Tokenizer& tokenizer, const TokenizerFiles& files, const char* name) {
  const auto text = files.special_tokens.find(name);
  if (text == files.special_tokens.end()) return {};
  return tokenizer.token_id(text->second);
}

}  // namespace

bool ModelText::is_end(TokenId token) const { return std::ranges::binary_search(end_tokens, token); }

Result<ModelText> load_model_text(const std::string& model, const std::string& chat_template_file, std::int32_t vocabulary_size) {
  Result<TokenizerFiles> files = read_tokenizer_files(model);
  if (!files) return forward_error(files);
  apply_tokenizer_class(*files);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer, tokenizer_settings(*files));
  if (!tokenizer) return forward_error(tokenizer);
  const Result<GenerationConfig> generation = read_generation_config(model, vocabulary_size);
  if (!generation) return tl::unexpected(generation.error());
  if (!chat_template_file.empty()) {
    Result<std::string> text = read_text_file(chat_template_file, kTemplateFileBytesMax);
    if (!text) return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", chat_template_file, text.error().message);
    files->chat_template = std::move(*text);
    files->named_templates.clear();
  }
  ModelText text{std::move(*tokenizer), ChatRenderer::create(*files), generation->eos_token_ids, {}, {}, vocabulary_size};
  if (!text.chat && !chat_template_file.empty()) {
    return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", chat_template_file, text.chat.error().message);
  }
  std::vector<TokenId>& ends = text.end_tokens;
  for (const TokenId end : end_tokens_of(*text.tokenizer, *files, vocabulary_size)) ends.push_back(end);
  std::ranges::sort(ends);
  text.eos = named_token(*text.tokenizer, *files, "eos_token");
  text.bos = named_token(*text.tokenizer, *files, "bos_token");
  return text;
}

}  // namespace slora
