#include "text/joint_table.h"

#include <algorithm>

#include "text/utf8.h"

namespace slora {
namespace {

std::uint64_t key_of(char32_t before, char32_t after) { return std::uint64_t{before} << 32 | after; }

}  // namespace

// Only the characters at the joint matter: those inside of either text were joined by an earlier merge.
void JointTable::add(std::string_view left, std::string_view right) {
  if (!left.empty() && !right.empty()) pairs_.push_back(key_of(last_code_point(left).value, first_code_point(right).value));
}

void JointTable::seal() {
  std::ranges::sort(pairs_);
  const auto repeated = std::ranges::unique(pairs_);
  pairs_.erase(repeated.begin(), repeated.end());
  pairs_.shrink_to_fit();
}

bool JointTable::joins(char32_t before, char32_t after) const { return std::ranges::binary_search(pairs_, key_of(before, after)); }

}  // namespace slora
