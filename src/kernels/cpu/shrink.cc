#include "kernels/cpu/shrink.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int32_t kShrinkItemRows = 64;

// Where the call's part of A begins.
const std::byte* first_byte(const ShrinkCall& call) {
  const TiledMatrix& a = call.applied->record->a;
  const Tile* tile = std::find_if(a.begin(), a.end(), [&](const Tile& t) { return call.rank_begin < t.row_begin + t.row_count; });
  return tile->data +
         static_cast<std::int64_t>(call.rank_begin - tile->row_begin) * tile->col_count * static_cast<std::int64_t>(sizeof(Bfloat16));
}

}  // namespace

void Shrink::run(Tensor z, Tensor x, std::span<const AppliedRecord> records) {
  check(x.dtype == DType::bf16 && z.dtype == DType::f32, "expected x in bf16 and z in fp32");
  calls_.clear();
  const std::int32_t item_ranks = ranks_per_item(records);
  for (const AppliedRecord& applied : records) {
    const std::int32_t rank_count = applied.record->rank;
    check(rank_count == 0 || (applied.record->a.dtype == DType::bf16 && applied.record->a.cols == x.cols), "expected A [rank, in] in bf16");
    const std::int32_t row_end = applied.row_begin + applied.row_count;
    for (std::int32_t rank = 0; rank < rank_count; rank += item_ranks) {
      for (std::int32_t row = applied.row_begin; row < row_end; row += kShrinkItemRows) {
        calls_.push_back(
            {z, x, &applied, row, std::min(kShrinkItemRows, row_end - row), rank, std::min(item_ranks, rank_count - rank), nullptr});
      }
    }
  }
  for (std::size_t i = 1; i < calls_.size(); ++i) calls_[i - 1].prefetch = first_byte(calls_[i]);
  pool_.parallel_for(static_cast<std::int64_t>(calls_.size()),
                     [&](std::int64_t index, int) { kernels_.shrink(calls_[static_cast<std::size_t>(index)]); });
  for (const AppliedRecord& applied : records) {
    if (applied.record->rank_gain != nullptr) multiply_ranks(z, applied);
  }
}

void Shrink::multiply_ranks(Tensor z, const AppliedRecord& applied) {
  const std::int32_t rank = applied.record->rank;
  pool_.parallel_rows(applied.row_count, rank, [&](std::int64_t row) {
    float* const values = z.row<float>(applied.row_begin + row) + applied.z_begin;
    for (std::int32_t j = 0; j < rank; ++j) values[j] *= applied.record->rank_gain[j];
  });
}

// As many as fill the registers with the sums of one row, or fewer if there would not be enough work items for all threads.
std::int32_t Shrink::ranks_per_item(std::span<const AppliedRecord> records) const {
  constexpr std::int32_t kRanksMin = 4;
  constexpr std::int32_t kRanksMax = 16;
  constexpr std::int64_t kItemsPerThread = 4;
  std::int64_t ranks_sum = 0;
  for (const AppliedRecord& applied : records)
    ranks_sum += applied.record->rank * ((applied.row_count + kShrinkItemRows - 1) / kShrinkItemRows);
  std::int32_t ranks = kRanksMax;
  while (ranks > kRanksMin && ranks_sum < ranks * kItemsPerThread * pool_.thread_count()) ranks /= 2;
  return ranks;
}

}  // namespace slora::cpu
