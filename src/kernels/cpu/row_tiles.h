#pragma once
#include <cstdint>
#include <vector>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

struct Kernels;

// Up to a tile's height of consecutive rows as products read them: words [pairs, rows] of bf16 pairs along each row; an odd last
// element is paired with 0.
struct RowTile {
  Tensor source;  // the rows, f32 or bf16
  std::int64_t row_begin = 0;
  int rows = 0;
  float factor = 1;  // of rows in f32, applied before they are rounded
  const std::uint32_t* words = nullptr;
};

// Cuts rows into tiles and packs them. Keeps its room from step to step; owned by a backend, used by its engine thread.
class RowTiles {
 public:
  explicit RowTiles(const Kernels& kernels) : kernels_(kernels) {}

  void clear();
  // Rows of `source`, the first of which is called `row_begin`, in tiles of nearly equal height. Returns the first tile's index.
  std::size_t add(Tensor source, std::int64_t row_begin, float factor = 1);
  // Packs all that was added.
  void pack(ThreadPool& pool);

  [[nodiscard]] const RowTile* tile(std::size_t index) const { return tiles_.data() + index; }
  [[nodiscard]] std::size_t count() const { return tiles_.size(); }

 private:
  // What a thread packs at once: some pairs of one tile.
  struct Turn {
    std::size_t tile;
    std::int64_t pair_begin;
  };

  const Kernels& kernels_;
  std::vector<RowTile> tiles_;
  std::vector<std::int64_t> offsets_;  // of each tile's words in the scratch
  std::vector<Turn> turns_;
  std::int64_t words_count_ = 0;
  Scratch scratch_;
};

}  // namespace slora::cpu
