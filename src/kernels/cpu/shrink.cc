#include "kernels/cpu/shrink.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int32_t kTurnRows = 64;

// Of A.
const std::byte* first_byte(const ShrinkCall& call) {
  const TiledMatrix& a = call.applied->record->a;
  const Tile* tile = std::find_if(a.begin(), a.end(), [&](const Tile& t) { return call.rank_begin < t.row_begin + t.row_count; });
  return tile->data +
         static_cast<std::int64_t>(call.rank_begin - tile->row_begin) * tile->col_count * static_cast<std::int64_t>(sizeof(Bfloat16));
}

}  // namespace

void Shrink::run(Tensor z, Tensor x, std::span<const AppliedRecord> records) {
  check(x.dtype == DType::bf16 && z.dtype == DType::f32, "x in bf16, z in fp32");
  calls_.clear();
  const std::int32_t turn_ranks = ranks_of_turn(records);
  for (const AppliedRecord& applied : records) {
    const std::int32_t rank_count = applied.record->rank;
    check(rank_count == 0 || (applied.record->a.dtype == DType::bf16 && applied.record->a.cols == x.cols), "A [rank, in] in bf16");
    const std::int32_t row_end = applied.row_begin + applied.row_count;
    for (std::int32_t rank = 0; rank < rank_count; rank += turn_ranks) {
      for (std::int32_t row = applied.row_begin; row < row_end; row += kTurnRows) {
        calls_.push_back({z, x, &applied, row, std::min(kTurnRows, row_end - row), rank, std::min(turn_ranks, rank_count - rank), nullptr});
      }
    }
  }
  for (std::size_t i = 1; i < calls_.size(); ++i) calls_[i - 1].ahead = first_byte(calls_[i]);
  pool_.parallel_for(static_cast<std::int64_t>(calls_.size()),
                     [&](std::int64_t index, int) { kernels_.shrink(calls_[static_cast<std::size_t>(index)]); });
}

// As many as fill the registers with the sums of one row, unless some threads would then have nothing to do for long.
std::int32_t Shrink::ranks_of_turn(std::span<const AppliedRecord> records) const {
  constexpr std::int32_t kRanksMin = 4;
  constexpr std::int32_t kRanksMax = 16;
  constexpr std::int64_t kTurnsPerThread = 4;
  std::int64_t ranks_sum = 0;
  for (const AppliedRecord& applied : records) ranks_sum += applied.record->rank * ((applied.row_count + kTurnRows - 1) / kTurnRows);
  std::int32_t ranks = kRanksMax;
  while (ranks > kRanksMin && ranks_sum < ranks * kTurnsPerThread * pool_.thread_count()) ranks /= 2;
  return ranks;
}

}  // namespace slora::cpu
