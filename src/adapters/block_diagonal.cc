#include "adapters/block_diagonal.h"

#include <algorithm>
#include <vector>

namespace slora {

BlockDiagonal::BlockDiagonal(const TensorInfo& blocks, std::int64_t block_count)
    : DerivedTensor(blocks.name, {blocks.shape[0], blocks.shape[1] * block_count}, {blocks.name}),
      blocks_(blocks),
      block_count_(block_count) {}

Status BlockDiagonal::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                              Gate& /*gate*/) const {
  const Result<std::vector<float>> rows = read_rows(file, blocks_, row_begin, row_count);
  if (!rows) return tl::unexpected(rows.error());
  const std::int64_t cols = blocks_.shape[1], block_rows = blocks_.shape[0] / block_count_;
  std::fill_n(out, row_count * block_count_ * cols, 0.0f);
  for (std::int64_t i = 0; i < row_count; ++i) {
    const std::int64_t block = (row_begin + i) / block_rows;
    std::copy_n(rows->begin() + i * cols, cols, out + (i * block_count_ + block) * cols);
  }
  return {};
}

}  // namespace slora
