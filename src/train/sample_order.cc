#include "train/sample_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "train/counter_draws.h"

namespace slora {

SampleOrder::SampleOrder(std::size_t sample_count, std::size_t batch, std::uint64_t seed)
    : batch_(batch), seed_(seed), order_(sample_count) {
  check(sample_count > 0 && batch > 0, "expected samples, and some of them in a step");
}

std::int64_t SampleOrder::steps_per_epoch() const { return static_cast<std::int64_t>((order_.size() + batch_ - 1) / batch_); }

std::span<const std::uint32_t> SampleOrder::samples_of(std::int64_t step) {
  if (const std::int64_t epoch = step / steps_per_epoch(); epoch != epoch_) shuffle(epoch);
  const std::size_t begin = static_cast<std::size_t>(step % steps_per_epoch()) * batch_;
  return std::span(order_).subspan(begin, std::min(batch_, order_.size() - begin));
}

// Fisher and Yates' way.
void SampleOrder::shuffle(std::int64_t epoch) {
  epoch_ = epoch;
  std::iota(order_.begin(), order_.end(), 0u);
  for (std::size_t i = order_.size() - 1; i > 0; --i) {
    const double draw = drawn_number(seed_, DrawPurpose::sample_order, static_cast<std::uint64_t>(epoch), i);
    std::swap(order_[i], order_[static_cast<std::size_t>(draw * static_cast<double>(i + 1))]);
  }
}

}  // namespace slora
