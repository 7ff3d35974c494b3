#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// y[t, :] = W x[t, :] + bias, and for every applied record over row t, on its slice, in the order of `records`:
// + weight * (scale * B z + record bias), or the record's bias in the place of the base's. x [T, in] bf16, z [T, z columns] fp32
// (weight * scale * z is rounded to bf16 for the product with B), B [ceil(rank / 2), 2 * out] bf16 with pairs of rank rows interleaved, y
// [T, out] fp32. Holds scratch; owned by a backend, called by its engine thread.
class Linear {
 public:
  Linear(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool), tiles_(kernels) {}

  void run(Tensor y, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);
  // out[t, i] = silu(y[t, i]) * y[t, n + i], out [T, n] bf16: y [T, 2n] is only ever there by some columns, which stay in cache.
  void run_gated(Tensor out, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z,
                 std::span<const AppliedRecord> records);

 private:
  // Fills tiles_ with rows of x and of z, and expands_.
  void pack_tiles(Tensor x, Tensor z, std::span<const AppliedRecord> records);

  const Kernels& kernels_;
  ThreadPool& pool_;
  RowTiles tiles_;
  std::vector<ExpandCall> expands_;
  std::vector<std::size_t> first_tiles_;  // of each expand
  std::size_t x_tile_count_ = 0;
  Scratch scratch_;
};

}  // namespace slora::cpu
