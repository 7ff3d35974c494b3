#include "text/detokenizer.h"

#include "text/tokenizer_parts.h"

namespace slora {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, SpecialText special)
    : tokenizer_(&tokenizer), special_(special), stream_(std::make_unique<DecoderStream>(tokenizer.parts_->decoder)) {}
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer::~Detokenizer() = default;

void Detokenizer::continue_from(std::span<const TokenId> prompt) {
  for (const TokenId id : prompt) static_cast<void>(push(id));
}

std::string Detokenizer::push(TokenId id) {
  std::string out;
  const std::string_view token = tokenizer_->parts_->text_to_decode(id);
  if (token.data() == nullptr || (special_ == SpecialText::skip && tokenizer_->is_special(id))) return out;
  stream_->push(token, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  stream_->finish(out);
  return out;
}

}  // namespace slora
