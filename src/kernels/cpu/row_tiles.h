#pragma once
#include <cstdint>
#include <vector>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

struct Kernels;

// Consecutive rows, at most a tile's height, packed as products read them. With an instruction for pairs of bf16: words [pairs, rows], each
// a pair of neighbouring elements of a row. Without: [pairs, 2, rows] elements in fp32, the even one of each pair and then the odd one, so
// that no product has to widen them again. An odd last element is paired with 0.
struct RowTile {
  Tensor source;  // the rows, f32 or bf16
  std::int64_t row_begin = 0;
  int rows = 0;
  float factor = 1;              // multiplies f32 rows before they are rounded
  std::int64_t pair_stride = 0;  // words
  const std::uint32_t* words = nullptr;

  [[nodiscard]] const std::uint32_t* pair(std::int64_t index) const { return words + index * pair_stride; }
};

// Divides rows into tiles and packs them. Reuses its memory from step to step; owned by a backend, used by its engine thread.
class RowTiles {
 public:
  explicit RowTiles(const Kernels& kernels) : kernels_(kernels) {}

  void clear();
  // Adds the rows of `source`, the first of which has number `row_begin`, in tiles of nearly equal height. Returns the first tile's index.
  std::size_t add(Tensor source, std::int64_t row_begin, float factor = 1);
  // Packs all added rows.
  void pack(ThreadPool& pool);

  [[nodiscard]] const RowTile* tile(std::size_t index) const { return tiles_.data() + index; }
  [[nodiscard]] std::size_t count() const { return tiles_.size(); }

 private:
  // Up to kItemPairs pairs of one tile, packed by one thread.
  struct WorkItem {
    std::size_t tile;
    std::int64_t pair_begin;
  };

  const Kernels& kernels_;
  std::vector<RowTile> tiles_;
  std::vector<std::int64_t> offsets_;  // of each tile's words within the scratch
  std::vector<WorkItem> items_;
  std::int64_t words_count_ = 0;
  Scratch scratch_;
};

}  // namespace slora::cpu
