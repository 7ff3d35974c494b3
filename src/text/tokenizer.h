#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/json.h"
#include "text/tokenizer_settings.h"

namespace slora {

class Bpe;

// Whether encoding applies the file's post-processor, which adds tokens around a text (for example <s> before it).
enum class SpecialTokens { add, omit };
// Whether decoded text contains the text of special tokens.
enum class SpecialText { skip, keep };

// Text to token ids and back, as the `tokenizers` package does it from the same tokenizer.json. Immutable; any number of
// threads. Shared, because requests outlive a reload of the model's files.
class Tokenizer {
 public:
  // Refuses by name what it does not implement exactly: models other than BPE, unknown steps, subword prefixes.
  [[nodiscard]] static Result<std::shared_ptr<const Tokenizer>> from_json(const Json& tokenizer_json,
                                                                          const TokenizerSettings& settings = {});
  // The tokenizer of an adapter of a model that has `base`: other steps and added tokens for the same vocabulary, which both share.
  // `tokenizer_json` may lack its "model"; one that differs is refused with E_ADAPTER_TOKENIZER, and so are tokens of the
  // base with other ids, and tokens of the adapter with ids from `row_count` on, for which the model has no row.
  [[nodiscard]] static Result<std::shared_ptr<const Tokenizer>> of_adapter(const Json& tokenizer_json, const TokenizerSettings& settings,
                                                                           const Tokenizer& base, std::int32_t row_count);
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);
  ~Tokenizer();

  // Special and added tokens that occur in the text become their ids. Bytes that aren't UTF-8 are treated as U+FFFD. Fails if a pattern of
  // the file backtracks too often, which no published one does, or over a million characters that can only be encoded as one.
  [[nodiscard]] Result<std::vector<TokenId>> encode(std::string_view text, SpecialTokens special) const;
  // Exactly the first or the last `count` of these tokens, or all when there are fewer. All of the text is searched for words, but little
  // more than needed is encoded, which is most of the cost.
  [[nodiscard]] Result<std::vector<TokenId>> encode_first(std::string_view text, SpecialTokens special, std::size_t count) const;
  [[nodiscard]] Result<std::vector<TokenId>> encode_last(std::string_view text, SpecialTokens special, std::size_t count) const;
  // Ids without a token are skipped. Always valid UTF-8. A stream of tokens is decoded by Detokenizer.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, SpecialText special) const;

  // The token as the vocabulary spells it ("Ġthe", "▁the", "<0x0A>"); empty for an id without a token.
  [[nodiscard]] std::string_view token_text(TokenId id) const;
  // The bytes of the token inside a text (" the", "\n"); may be part of a character.
  [[nodiscard]] std::string token_bytes(TokenId id) const;
  [[nodiscard]] std::optional<TokenId> token_id(std::string_view token_text) const;
  [[nodiscard]] bool is_special(TokenId id) const;
  // One more than the largest id, added tokens included. The model's logits may be wider.
  [[nodiscard]] std::size_t vocabulary_size() const;

 private:
  friend class Detokenizer;

  [[nodiscard]] static Result<std::shared_ptr<const Tokenizer>> make(const Json& tokenizer_json, const TokenizerSettings& settings,
                                                                     std::shared_ptr<const Bpe> model);
  [[nodiscard]] Status check_against(const Tokenizer& base, std::int32_t row_count) const;

  std::unique_ptr<const Parts> parts_;
};

}  // namespace slora
