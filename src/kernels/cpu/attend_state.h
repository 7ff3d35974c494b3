#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// The state of rows of attention after some of their keys: the softmax over those alone, not yet divided by its total. A view of `words`
// floats that begin at a cache line.
template <class Isa>
struct AttendState {
  std::int64_t rows = 0;
  std::int64_t dim = 0;      // head_dim in whole vectors
  float* sums = nullptr;     // [rows, dim]: sums of weight * value
  float* totals = nullptr;   // [rows, 16]: partial sums of the weights
  float* highest = nullptr;  // [rows in whole vectors]: the highest scaled score, to which weights are relative; -inf before the first key

  static std::int64_t whole_vectors(std::int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }
  static std::int64_t words(std::int64_t rows, std::int64_t head_dim) {
    return rows * (whole_vectors(head_dim) + kLanes) + whole_vectors(rows) + kLanes;
  }
  static AttendState at(float* memory, std::int64_t rows, std::int64_t head_dim) {
    const std::int64_t dim = whole_vectors(head_dim);
    return {rows, dim, memory, memory + rows * dim, memory + rows * (dim + kLanes)};
  }

  void clear() const {
    __builtin_memset(sums, 0, static_cast<std::size_t>(rows * (dim + kLanes)) * sizeof(float));
    for (std::int64_t row = 0; row < whole_vectors(rows) + kLanes; ++row) highest[row] = -__builtin_inff();
  }

  // Adds the keys of `later`, which all come after those of this state.
  void merge(const AttendState& later) const {
    for (std::int64_t row = 0; row < rows; ++row) {
      if (later.highest[row] == -__builtin_inff()) continue;
      const float peak = highest[row] > later.highest[row] ? highest[row] : later.highest[row];
      const Floats factor = Isa::exp2(broadcast(highest[row] - peak));
      const Floats later_factor = Isa::exp2(broadcast(later.highest[row] - peak));
      const auto join = [&](float* to, const float* from) {
        // Rows without any key so far copy the bits: 0 * 0 + x might change the sign of a zero.
        store(to, highest[row] == -__builtin_inff() ? load(from) : Isa::multiply_add(load(to), factor, load(from) * later_factor));
      };
      for (std::int64_t d = 0; d < dim; d += kLanes) join(sums + row * dim + d, later.sums + row * dim + d);
      join(totals + row * kLanes, later.totals + row * kLanes);
      highest[row] = peak;
    }
  }

  // out [head_dim] = sums / total
  void write_row(Bfloat16* out, std::int64_t row, std::int64_t head_dim) const {
    const Floats inverse = broadcast(1.0f / Isa::sum(load(totals + row * kLanes)));
    for (std::int64_t d = 0; d < head_dim; d += kLanes) {
      const Floats value = load(sums + row * dim + d) * inverse;
      if (head_dim - d >= kLanes) {
        Isa::store_bfloat16(out + d, value);
      } else {
        alignas(32) Bfloat16 rounded[kLanes];
        Isa::store_bfloat16(rounded, value);
        __builtin_memcpy(out + d, rounded, static_cast<std::size_t>(head_dim - d) * sizeof(Bfloat16));
      }
    }
  }
};

}  // namespace slora::cpu
