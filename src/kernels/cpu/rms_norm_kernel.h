#pragma once
#include <span>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class RmsNormKernel {
 public:
  // The squares of a group are summed in sixteen partial sums (column i in sum i mod 16), which are added up at the end.
  static void run(std::byte* out, DType out_type, const float* in, std::int64_t cols, std::span<const float> weight, float eps) {
    const auto size = static_cast<std::int64_t>(weight.size());
    for (std::int64_t begin = 0; begin < cols; begin += size) {
      if (out_type == DType::bf16) {
        run_group(reinterpret_cast<Bfloat16*>(out) + begin, in + begin, weight.data(), size, eps);
      } else {
        run_group(reinterpret_cast<float*>(out) + begin, in + begin, weight.data(), size, eps);
      }
    }
  }

  static void add(float* sum, const float* x, std::int64_t count) { add_values(sum, x, count); }

 private:
  template <class T>
  static void run_group(T* out, const float* in, const float* weight, std::int64_t size, float eps) {
    Floats squares = {};
    std::int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes) squares = Isa::multiply_add(load(in + i), load(in + i), squares);
    const Floats tail = load_head(in + i, size - i);
    squares = Isa::multiply_add(tail, tail, squares);
    const float mean = Isa::sum(squares) / static_cast<float>(size);
    const Floats inverse = broadcast(1.0f / __builtin_sqrtf(mean + eps));
    for (i = 0; i + kLanes <= size; i += kLanes) put(out + i, load(in + i) * inverse * load(weight + i));
    if (i == size) return;
    alignas(64) T last[kLanes];
    put(last, tail * inverse * load_head(weight + i, size - i));
    __builtin_memcpy(out + i, last, static_cast<std::size_t>(size - i) * sizeof(T));
  }

  [[gnu::always_inline]] static void put(float* out, Floats value) { store(out, value); }
  [[gnu::always_inline]] static void put(Bfloat16* out, Floats value) { Isa::store_bfloat16(out, value); }
};

}  // namespace slora::cpu
