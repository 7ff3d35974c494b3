#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// Packs rows in fp32 into tiles. Reuses its memory from call to call; one owner, one thread.
class FloatPacker {
 public:
  explicit FloatPacker(const Kernels& kernels) : kernels_(kernels) {}

  // Valid until the next call.
  [[nodiscard]] FloatRows pack(Tensor source, ThreadPool& pool) {
    FloatRows rows{.row_count = source.rows, .cols = source.cols, .tile_rows = kernels_.tile_rows};
    auto* floats = scratch_.take<float>(rows.count());
    rows.floats = floats;
    pool.parallel_for(rows.tile_count(), [&](std::int64_t tile, int) {
      kernels_.train.pack_floats(floats + rows.offset(tile), source.row<float>(rows.row_begin(tile)), source.row_stride, rows.rows_of(tile),
                                 source.cols, 1.0f);
    });
    return rows;
  }

 private:
  const Kernels& kernels_;
  Scratch scratch_;
};

}  // namespace slora::cpu
