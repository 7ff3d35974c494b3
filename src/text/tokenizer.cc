#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/detokenizer.h"
#include "text/text_encoder.h"
#include "text/tokenizer_parts.h"

namespace slora {
std::string_view Tokenizer::Parts::token_text(TokenId id) const {
  const Vocabulary& added = added_tokens.vocabulary();
  return added.contains(id) ? added.text(id) : model->vocabulary().text(id);
}

std::string_view Tokenizer::Parts::text_to_decode(TokenId id) const {
  const std::string* normalized = added_tokens.normalized_text(id);
  return normalized != nullptr ? std::string_view(*normalized) : token_text(id);
}

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(const Json& tokenizer_json, const TokenizerSettings& settings) {
  if (!tokenizer_json.is_object()) return error("E_TOKENIZER", "tokenizer.json: expected an object, found {}", type_name(tokenizer_json));
  Result<Bpe> model = Bpe::from_json(tokenizer_json);
  if (!model) return forward_error(model);
  return make(tokenizer_json, settings, std::make_shared<const Bpe>(std::move(*model)));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::of_adapter(const Json& tokenizer_json, const TokenizerSettings& settings,
                                                               const Tokenizer& base, std::int32_t row_count) {
  if (find_member(tokenizer_json, "model") != nullptr) {
    const Result<Bpe> model = Bpe::from_json(tokenizer_json);
    if (!model) return tl::unexpected(model.error());
    if (*model != *base.parts_->model) {
      return error("E_ADAPTER_TOKENIZER",
                   "tokenizer.json: its vocabulary and merges are not those of the base; expected the base's tokenizer with tokens added");
    }
  }
  Result<std::shared_ptr<const Tokenizer>> tokenizer = make(tokenizer_json, settings, base.parts_->model);
  if (!tokenizer) return tokenizer;
  if (Status same = (*tokenizer)->check_against(base, row_count); !same) return forward_error(same);
  return tokenizer;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::make(const Json& tokenizer_json, const TokenizerSettings& settings,
                                                         std::shared_ptr<const Bpe> model) {
  Result<Normalizer> normalizer = Normalizer::from_json(tokenizer_json);
  if (!normalizer) return forward_error(normalizer);
  Result<PreTokenizer> pre_tokenizer = PreTokenizer::from_json(tokenizer_json);
  if (!pre_tokenizer) return forward_error(pre_tokenizer);
  Result<AddedTokens> added_tokens = AddedTokens::from_json(tokenizer_json, settings, model->vocabulary(), *normalizer);
  if (!added_tokens) return forward_error(added_tokens);
  Result<PostProcessor> post_processor = PostProcessor::from_json(tokenizer_json);
  if (!post_processor) return forward_error(post_processor);
  Result<Decoder> decoder = Decoder::from_json(tokenizer_json);
  if (!decoder) return forward_error(decoder);
  return std::make_shared<const Tokenizer>(
      std::make_unique<const Parts>(Parts{std::move(*added_tokens), std::move(*normalizer), std::move(*pre_tokenizer), std::move(model),
                                          std::move(*post_processor), std::move(*decoder)}));
}

Status Tokenizer::check_against(const Tokenizer& base, std::int32_t row_count) const {
  for (const AddedTokens::Token& token : parts_->added_tokens.tokens()) {
    const std::optional<TokenId> in_base = base.token_id(token.form.content);
    if (in_base && *in_base != token.id) {
      return error("E_ADAPTER_TOKENIZER", "its tokenizer gives the token {} the id {}; expected {}, as the base's does",
                   quote(token.form.content), token.id, *in_base);
    }
    if (!in_base && token.id >= row_count) {
      return error("E_ADAPTER_TOKENIZER", "its tokenizer gives the token {} the id {}; expected at most {}: the base has {} rows",
                   quote(token.form.content), token.id, row_count - 1, row_count);
    }
  }
  return {};
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  return encode_first(text, special, std::numeric_limits<std::size_t>::max());
}

Result<std::vector<TokenId>> Tokenizer::encode_first(std::string_view text, SpecialTokens special, std::size_t count) const {
  return TextEncoder<TextOrder::forward>(*parts_, count).encode(text, special);
}

Result<std::vector<TokenId>> Tokenizer::encode_last(std::string_view text, SpecialTokens special, std::size_t count) const {
  return TextEncoder<TextOrder::backward>(*parts_, count).encode(text, special);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, SpecialText special) const {
  Detokenizer detokenizer(*this, special);
  std::string text;
  for (const TokenId id : ids) text += detokenizer.push(id);
  text += detokenizer.finish();
  return text;
}

std::string_view Tokenizer::token_text(TokenId id) const { return parts_->token_text(id); }

std::string Tokenizer::token_bytes(TokenId id) const { return parts_->decoder.token_bytes(parts_->text_to_decode(id)); }

std::optional<TokenId> Tokenizer::token_id(std::string_view token_text) const {
  const std::optional<TokenId> added = parts_->added_tokens.vocabulary().find(token_text);
  return added ? added : parts_->model->vocabulary().find(token_text);
}

bool Tokenizer::is_special(TokenId id) const { return parts_->added_tokens.is_special(token_text(id)); }

std::size_t Tokenizer::vocabulary_size() const {
  return std::max(parts_->model->vocabulary().size(), parts_->added_tokens.vocabulary().size());
}

}  // namespace slora
