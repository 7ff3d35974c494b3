#include "kernels/cpu/shrink.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int32_t kTurnRanks = 8;
constexpr std::int32_t kTurnRows = 64;

}  // namespace

void Shrink::run(Tensor z, Tensor x, std::span<const AppliedRecord> records) {
  check(x.dtype == DType::bf16 && z.dtype == DType::f32, "x in bf16, z in fp32");
  calls_.clear();
  for (const AppliedRecord& applied : records) {
    const std::int32_t rank_count = applied.record->rank;
    check(rank_count == 0 || (applied.record->a.dtype == DType::bf16 && applied.record->a.cols == x.cols), "A [rank, in] in bf16");
    const std::int32_t row_end = applied.row_begin + applied.row_count;
    for (std::int32_t rank = 0; rank < rank_count; rank += kTurnRanks) {
      for (std::int32_t row = applied.row_begin; row < row_end; row += kTurnRows) {
        calls_.push_back({z, x, &applied, row, std::min(kTurnRows, row_end - row), rank, std::min(kTurnRanks, rank_count - rank)});
      }
    }
  }
  pool_.parallel_for(static_cast<std::int64_t>(calls_.size()),
                     [&](std::int64_t index, int) { kernels_.shrink(calls_[static_cast<std::size_t>(index)]); });
}

}  // namespace slora::cpu
