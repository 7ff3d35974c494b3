#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class RopeKernel {
 public:
  // One head: (a, b) = (a cos - b sin, b cos + a sin), each [half].
  static void run(float* a, float* b, const float* cos, const float* sin, std::int64_t half) {
    std::int64_t i = 0;
    for (; i + kLanes <= half; i += kLanes) {
      const Floats x = load(a + i);
      const Floats y = load(b + i);
      store(a + i, x * load(cos + i) - y * load(sin + i));
      store(b + i, y * load(cos + i) + x * load(sin + i));
    }
    for (; i < half; ++i) {
      const float x = a[i];
      const float y = b[i];
      a[i] = x * cos[i] - y * sin[i];
      b[i] = y * cos[i] + x * sin[i];
    }
  }
};

}  // namespace slora::cpu
