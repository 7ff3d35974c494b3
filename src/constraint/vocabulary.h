#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"

namespace slora {

// The tokens of a model as text, for forms.
struct ConstraintVocabulary {
  std::vector<std::string> texts;  // [tokens] the bytes of each inside a text; empty: not text
  std::vector<TokenId> marks;      // special tokens among them: their texts count in structural tags only, which may name them

  friend bool operator==(const ConstraintVocabulary&, const ConstraintVocabulary&) = default;
};

}  // namespace slora
