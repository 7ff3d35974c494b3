#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

struct Kernels;

// Consecutive rows, at most a tile's height, rotated (rotation.h) and in the layout of products with an Int8Weight: group after group, each
// [quads, rows] words of four signed bytes along each row (zeros beyond its end), then [rows] scales in fp32 and [rows] integers: -128
// times the sum of the row's bytes, which cancels the 128 that was added to every weight.
struct Int8RowTile {
  static constexpr std::int64_t kTailWords = 2;  // of a row, after its quads

  Tensor source;  // the rows, bf16
  std::int64_t row_begin = 0;
  int rows = 0;
  std::uint32_t* words = nullptr;

  [[nodiscard]] std::uint32_t* group(std::int64_t index) const { return words + index * (Int8Weight::kGroupQuads + kTailWords) * rows; }
};

// Divides rows into tiles and quantises them. Reuses its memory from step to step; owned by a backend, used by its engine thread.
class Int8Rows {
 public:
  explicit Int8Rows(const Kernels& kernels) : kernels_(kernels) {}

  // Packs the rows of `x` [T, in] bf16 in tiles of nearly equal height; replaces what an earlier call packed.
  std::span<const Int8RowTile> pack(Tensor x, ThreadPool& pool);

 private:
  const Kernels& kernels_;
  std::vector<Int8RowTile> tiles_;
  Scratch scratch_;
};

}  // namespace slora::cpu
