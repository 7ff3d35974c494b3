#pragma once
#include <span>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Of y = x r * weight, r = 1 / sqrt(mean(x^2) + eps): r g - x r^3 mean(g x), g = weight * dy, in groups of weight.size() columns. Sums are
// sixteen partial ones, as those of the norm.
template <class Isa>
class RmsNormBackwardKernel {
 public:
  static void run(float* dx, const float* dy, const float* x, std::int64_t cols, std::span<const float> weight, float eps) {
    run_groups(dx, dy, x, cols, weight, eps, [](Floats /*before*/, Floats value) { return value; });
  }
  static void add(float* dx, const float* dy, const float* x, std::int64_t cols, std::span<const float> weight, float eps) {
    run_groups(dx, dy, x, cols, weight, eps, [](Floats before, Floats value) { return before + value; });
  }

 private:
  template <class Join>
  [[gnu::always_inline]] static void run_groups(float* dx, const float* dy, const float* x, std::int64_t cols,
                                                std::span<const float> weight, float eps, Join join) {
    const auto size = static_cast<std::int64_t>(weight.size());
    for (std::int64_t begin = 0; begin < cols; begin += size) run_group(dx + begin, dy + begin, x + begin, weight.data(), size, eps, join);
  }

  template <class Join>
  [[gnu::always_inline]] static void run_group(float* dx, const float* dy, const float* x, const float* weight, std::int64_t size,
                                               float eps, Join join) {
    Floats squares = {}, products = {};
    const auto add_to_sums = [&](Floats in, Floats gain, Floats d) __attribute__((always_inline)) {
      squares = Isa::multiply_add(in, in, squares);
      products = Isa::multiply_add(gain * d, in, products);
    };
    std::int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes) add_to_sums(load(x + i), load(weight + i), load(dy + i));
    const std::int64_t left = size - i;
    if (left > 0) add_to_sums(load_head(x + i, left), load_head(weight + i, left), load_head(dy + i, left));
    const auto count = static_cast<float>(size);
    const float inverse = 1.0f / __builtin_sqrtf(Isa::sum(squares) / count + eps);
    const Floats factor = broadcast(inverse), along_x = broadcast(Isa::sum(products) / count * inverse * inverse * inverse);
    for (i = 0; i + kLanes <= size; i += kLanes)
      store(dx + i, join(load(dx + i), factor * load(weight + i) * load(dy + i) - along_x * load(x + i)));
    if (left == 0) return;
    const Floats value = factor * load_head(weight + i, left) * load_head(dy + i, left) - along_x * load_head(x + i, left);
    store_head(dx + i, join(load_head(dx + i, left), value), left);
  }
};

}  // namespace slora::cpu
