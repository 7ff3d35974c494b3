#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace slora {

// The pairs of neighbouring characters across which some merge joins two tokens. Between two characters of no such pair no token of any
// text ever extends, so a word may be encoded in parts that meet there. Constant once it is sealed.
class JointTable {
 public:
  // A merge of these two token texts. Requires: valid UTF-8.
  void add(std::string_view left, std::string_view right);
  // After the last merge, before the first question.
  void seal();

  [[nodiscard]] bool joins(char32_t before, char32_t after) const;

 private:
  std::vector<std::uint64_t> pairs_;  // sorted
};

}  // namespace slora
