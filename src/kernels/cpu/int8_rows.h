#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/int4_weight.h"
#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

struct Kernels;

// Consecutive rows, at most a tile's height, in the layout of products with a weight in 8 or 4 bits, and rotated (rotation.h) if the weight
// is: in the weight's groups, one after another, each [quads, rows] words of four signed bytes along each row (zeros beyond its end), then
// [rows] scales in fp32 and [rows] sums. For an Int8Weight these are integers, -128 times the sum of the row's bytes, which cancels the 128
// that was added to every weight; for an Int4Weight fp32, the scale times the sum, which multiplies the weight's offset.
template <class Weight>
struct ByteRowTile {
  static constexpr std::int64_t kTailWords = 2;  // of a row, after its quads

  Tensor source;  // the rows, bf16
  std::int64_t row_begin = 0;
  int rows = 0;
  std::uint32_t* words = nullptr;

  [[nodiscard]] std::uint32_t* group(std::int64_t index) const { return words + index * (Weight::kGroupQuads + kTailWords) * rows; }
};
using Int8RowTile = ByteRowTile<Int8Weight>;
using Int4RowTile = ByteRowTile<Int4Weight>;

// Divides rows into tiles and quantises them. Reuses its memory from step to step; owned by a backend, used by its engine thread.
template <class Weight>
class ByteRows {
 public:
  explicit ByteRows(const Kernels& kernels) : kernels_(kernels) {}

  // Packs the rows of `x` [T, in] bf16 in tiles of nearly equal height; replaces what an earlier call packed.
  std::span<const ByteRowTile<Weight>> pack(Tensor x, ThreadPool& pool);

 private:
  const Kernels& kernels_;
  std::vector<ByteRowTile<Weight>> tiles_;
  Scratch scratch_;
};

}  // namespace slora::cpu
