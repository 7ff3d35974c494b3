#include "text/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/detokenizer.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

namespace slora {
std::string_view Tokenizer::Parts::token_text(TokenId id) const {
  const Vocabulary& added = added_tokens.vocabulary();
  return added.contains(id) ? added.text(id) : model.vocabulary().text(id);
}

std::string_view Tokenizer::Parts::text_to_decode(TokenId id) const {
  const std::string* normalized = added_tokens.normalized_text(id);
  return normalized != nullptr ? std::string_view(*normalized) : token_text(id);
}

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(const Json& tokenizer_json) {
  if (!tokenizer_json.is_object()) return error("E_TOKENIZER", "tokenizer.json: expected an object, found {}", type_name(tokenizer_json));
  Result<Normalizer> normalizer = Normalizer::from_json(tokenizer_json);
  if (!normalizer) return forward_error(normalizer);
  Result<PreTokenizer> pre_tokenizer = PreTokenizer::from_json(tokenizer_json);
  if (!pre_tokenizer) return forward_error(pre_tokenizer);
  Result<Bpe> model = Bpe::from_json(tokenizer_json);
  if (!model) return forward_error(model);
  Result<AddedTokens> added_tokens = AddedTokens::from_json(tokenizer_json, model->vocabulary(), *normalizer);
  if (!added_tokens) return forward_error(added_tokens);
  Result<PostProcessor> post_processor = PostProcessor::from_json(tokenizer_json);
  if (!post_processor) return forward_error(post_processor);
  Result<Decoder> decoder = Decoder::from_json(tokenizer_json);
  if (!decoder) return forward_error(decoder);
  return std::make_shared<const Tokenizer>(
      std::make_unique<const Parts>(Parts{std::move(*added_tokens), std::move(*normalizer), std::move(*pre_tokenizer), std::move(*model),
                                          std::move(*post_processor), std::move(*decoder)}));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const std::string valid = to_valid_utf8(text);
  std::vector<TokenId> ids;
  ids.reserve(valid.size() / 3 + 4);
  if (special == SpecialTokens::add) ids = parts_->post_processor.before();
  for (const AddedTokens::Part& raw : parts_->added_tokens.split_raw(valid)) {
    if (raw.token) {
      ids.push_back(*raw.token);
      continue;
    }
    Result<std::string> normalized = parts_->normalizer.apply(valid.substr(raw.range.begin, raw.range.end - raw.range.begin));
    if (!normalized) return forward_error(normalized);
    for (const AddedTokens::Part& part : parts_->added_tokens.split_normalized(*normalized)) {
      if (part.token) {
        ids.push_back(*part.token);
        continue;
      }
      std::string between = normalized->substr(part.range.begin, part.range.end - part.range.begin);
      const std::size_t bytes = between.size();
      CutText cut{std::move(between), {{0, bytes}}, raw.range.begin == 0 && part.range.begin == 0};
      if (Status status = parts_->pre_tokenizer.apply(cut); !status) return forward_error(status);
      for (const TextRange& piece : cut.pieces) parts_->model.encode(cut.piece(piece), ids);
    }
  }
  const std::vector<TokenId>& after = parts_->post_processor.after();
  if (special == SpecialTokens::add) ids.insert(ids.end(), after.begin(), after.end());
  return ids;
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
  return added ? added : parts_->model.vocabulary().find(token_text);
}

bool Tokenizer::is_special(TokenId id) const { return parts_->added_tokens.is_special(token_text(id)); }

std::size_t Tokenizer::vocabulary_size() const {
  return std::max(parts_->model.vocabulary().size(), parts_->added_tokens.vocabulary().size());
}

}  // namespace slora
