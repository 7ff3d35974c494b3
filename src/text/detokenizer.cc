#include "text/detokenizer.h"

#include <algorithm>

#include "text/tokenizer_parts.h"

namespace slora {
namespace {

constexpr std::size_t kContextTokens = 64;

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, SpecialText special)
    : tokenizer_(&tokenizer), special_(special), stream_(std::make_unique<DecoderStream>(tokenizer.parts_->decoder)) {}
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer::~Detokenizer() = default;

void Detokenizer::continue_from(std::span<const TokenId> prompt) {
  // Only the first token and those of the last character matter, so the cost does not depend on the length of the prompt.
  const std::size_t skipped = prompt.size() - std::min(prompt.size(), kContextTokens);
  for (const TokenId id : prompt.subspan(skipped)) static_cast<void>(push(id));
  stream_->drop_held_back();
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
