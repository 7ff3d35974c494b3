#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace slora {

// From which end a text is encoded.
enum class TextOrder : std::uint8_t { forward, backward };

// One encoding of one text: from one end on, part by part, until there are enough tokens. The parts are those of an encoding of the whole
// text, and a part's tokens do not depend on the other parts. Owned by its caller and thread.
template <TextOrder order>
class TextEncoder {
 public:
  // At most the `count` tokens of that end. `parts` outlives it.
  TextEncoder(const Tokenizer::Parts& parts, std::size_t count) : parts_(parts), count_(count) {}

  // Requires: called once.
  [[nodiscard]] Result<std::vector<TokenId>> encode(std::string_view text, SpecialTokens special);
  // What it has cost: the bytes that each step received, and the merges that were considered.
  [[nodiscard]] std::size_t work() const { return work_; }

 private:
  [[nodiscard]] bool is_full() const { return ids_.size() >= count_; }
  Status add_text(std::string_view text);
  Status add_raw(std::string_view text, const TextRange& range);
  Status add_between(CutText cut);
  Status add_word(std::string_view word);
  void add_tokens(std::span<const TokenId> tokens);

  const Tokenizer::Parts& parts_;
  const std::size_t count_;
  std::vector<TokenId> ids_;  // backward: the last token first
  std::vector<TokenId> part_ids_;
  std::size_t work_ = 0;
};

}  // namespace slora
