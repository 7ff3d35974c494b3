#pragma once
#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace slora {

// One sample of training data, and which of its tokens are learned.
struct Sample {
  std::vector<TokenId> tokens;
  std::vector<bool> labels;  // as long as tokens; labels[i]: token i is to be predicted from those before it; never of token 0
  std::int64_t line = 0;     // of the file it comes from, from 1
};

}  // namespace slora
