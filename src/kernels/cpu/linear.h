#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/expand_late.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// y[t, :] = W x[t, :] + bias, and for every applied record over row t, on its slice, in the order of `records`:
// + weight * (scale * B z + record bias), or the record's bias in the place of the base's. x [T, in] bf16, z [T, z columns] fp32
// (weight * scale * z is rounded to bf16 for the product with B), B [ceil(rank / 2), 2 * out] bf16 with pairs of rank rows interleaved, y
// [T, out] fp32. Holds scratch; owned by a backend, called by its engine thread.
class Linear {
 public:
  Linear(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), tiles_(kernels), int8_rows_(kernels), late_(kernels, pool) {}

  void run(Tensor y, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);
  // x is quantised too: the exact product of both roundings, summed in fp32 over groups.
  void run(Tensor y, Tensor x, const Int8Weight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);

  // out[t, i] = silu(y[t, i]) * y[t, n + i], out [T, n] bf16: y [T, 2n] is only ever there by some columns, which stay in cache.
  void run_gated(Tensor out, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z,
                 std::span<const AppliedRecord> records);
  void run_gated(Tensor out, Tensor x, const Int8Weight& weight, std::span<const float> bias, Tensor z,
                 std::span<const AppliedRecord> records);

 private:
  // Fills tiles_ with rows of x, which may be none, and of z, and expands_.
  void pack_tiles(Tensor x, Tensor z, std::span<const AppliedRecord> records, std::int64_t rows);
  void add_z_tiles(Tensor z, const AppliedRecord& applied);
  // The product's y, of which `columns` computes some, is gated into out.
  template <class Call>
  void gate(Tensor out, const Call& product, void (*columns)(const Call& call, std::int64_t panel_begin, std::int64_t panel_end));
  // The same where records are added late: all of y is there at once.
  template <class Call>
  void gate_late(Tensor out, Call product, void (*columns)(const Call& call, std::int64_t panel_begin, std::int64_t panel_end));

  const Kernels& kernels_;
  ThreadPool& pool_;
  RowTiles tiles_;  // of x and, behind it, of z
  std::size_t x_tile_count_ = 0;
  Int8Rows int8_rows_;
  std::vector<ExpandCall> expands_;
  std::vector<std::size_t> first_tiles_;  // of each expand
  ExpandLate late_;
  Scratch scratch_;  // of each thread, gate and up of some columns: [2, T, columns] fp32
};

}  // namespace slora::cpu
