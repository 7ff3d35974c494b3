#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace slora {

// Which positions of one sequence plans have computed, cached ones not included: one range for each of its admissions, merged where they
// touch. Owned by the sequence, on the scheduler's thread.
class ComputedTokens {
 public:
  // So that up to `count` ranges need no allocation.
  void reserve(std::size_t count) { ranges_.reserve(count); }
  // Adds the positions [begin, end) and returns how many of them were computed before. Requires: begin <= end.
  [[nodiscard]] std::int32_t add(std::int32_t begin, std::int32_t end);

 private:
  struct Range {
    std::int32_t begin, end;
  };
  std::vector<Range> ranges_;  // not empty, and apart from each other; in no order
};

}  // namespace slora
