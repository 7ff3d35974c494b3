#pragma once

namespace slora {

// How likely cached items of one kind are used again, as the latest ones were: each counts once, when it is used for the second time or
// when it is evicted before. Used on its owner's thread.
class ReuseChance {
 public:
  void count_used_again() { count(used_again_); }
  void count_lost() { count(lost_); }

  // Begins at 1: what is not known to be useless is kept.
  [[nodiscard]] double value() const { return (1 + used_again_) / (1 + used_again_ + lost_); }
  // How often an item that was used `use_count` times may be used again.
  [[nodiscard]] double expected_uses(unsigned use_count) const { return use_count == 0 ? 1 : use_count - 1 + value(); }

 private:
  static constexpr double kItemsMax = 4096;  // then older ones count half

  void count(double& items) {
    ++items;
    if (used_again_ + lost_ < kItemsMax) return;
    used_again_ /= 2;
    lost_ /= 2;
  }

  double used_again_ = 0, lost_ = 0;
};

}  // namespace slora
