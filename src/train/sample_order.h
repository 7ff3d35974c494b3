#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace slora {

// In which order samples are learned: each epoch has all of them once, in an order of its own that depends on the seed and the epoch only.
// A step has `batch` of them, the last one of an epoch maybe fewer. Owned by one trainer.
class SampleOrder {
 public:
  // Requires: at least one sample, batch > 0.
  SampleOrder(std::size_t sample_count, std::size_t batch, std::uint64_t seed);

  [[nodiscard]] std::int64_t steps_per_epoch() const;
  // Indices of the samples of a step, counted from 0. Valid until the next call.
  [[nodiscard]] std::span<const std::uint32_t> samples_of(std::int64_t step);

 private:
  void shuffle(std::int64_t epoch);

  const std::size_t batch_;
  const std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::uint32_t> order_;  // [samples], of epoch_
};

}  // namespace slora
