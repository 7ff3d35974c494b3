#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "train/adapter_masters.h"
#include "train/train_options.h"

namespace slora {

// AdamW (arXiv 1711.05101) over an adapter's numbers, with the operations of torch.optim.AdamW in their order, in fp32. Owned by one
// trainer. Its results do not depend on the number of threads.
class AdamW {
 public:
  // All outlive it.
  AdamW(const OptimiserOptions& options, const AdapterMasters& shape, Backend& backend);

  // The L2 norm of all gradients.
  [[nodiscard]] double norm_of(std::span<const float> gradients);
  // Changes `values` by gradients that are multiplied by `factor` first, at this rate, which for B is multiplied by b_rate_factor.
  void update(std::span<float> values, std::span<const float> gradients, float factor, double rate);
  // What the options multiply gradients of this norm by.
  [[nodiscard]] float clip_factor(double norm) const;

  // The state: how many updates there were, and the moments of each number.
  [[nodiscard]] std::int64_t update_count() const { return update_count_; }
  void set_update_count(std::int64_t count) { update_count_ = count; }
  [[nodiscard]] std::vector<float>& first_moments() { return first_; }
  [[nodiscard]] const std::vector<float>& first_moments() const { return first_; }
  [[nodiscard]] std::vector<float>& second_moments() { return second_; }
  [[nodiscard]] const std::vector<float>& second_moments() const { return second_; }

 private:
  // Numbers that are updated at one rate by one thread.
  struct Block {
    std::size_t begin = 0, count = 0;
    bool is_of_b = false;
  };
  void add_blocks(std::size_t begin, std::size_t end, bool is_of_b);

  const OptimiserOptions options_;
  Backend& backend_;
  std::vector<Block> blocks_;
  std::vector<double> sums_;  // [blocks]
  std::vector<float> first_, second_;
  std::int64_t update_count_ = 0;
};

}  // namespace slora
