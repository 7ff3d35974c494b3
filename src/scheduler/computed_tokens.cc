#include "scheduler/computed_tokens.h"

#include <algorithm>

namespace slora {

std::int32_t ComputedTokens::add(std::int32_t begin, std::int32_t end) {
  if (begin == end) return 0;
  std::int32_t before = 0;
  Range merged{begin, end};
  std::erase_if(ranges_, [&](const Range& range) {
    before += std::max(std::min(range.end, end) - std::max(range.begin, begin), 0);
    const bool touches = range.begin <= end && begin <= range.end;
    if (touches) merged = {std::min(range.begin, merged.begin), std::max(range.end, merged.end)};
    return touches;
  });
  ranges_.push_back(merged);
  return before;
}

}  // namespace slora
