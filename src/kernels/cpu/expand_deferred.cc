#include "kernels/cpu/expand_deferred.h"

#include <algorithm>

namespace slora::cpu {
namespace {

std::int64_t bytes_of_b(std::span<const AppliedRecord> records) {
  std::int64_t bytes = 0;
  for (const AppliedRecord& applied : records) {
    bytes += applied.record->b.rows * static_cast<std::int64_t>(applied.record->b.cols) * static_cast<std::int64_t>(sizeof(Bfloat16));
  }
  return bytes;
}

}  // namespace

// Selects none if records overlap other than over exactly the same rows: all records of a row must be added in their order.
void ExpandDeferred::pick(Tensor z, std::span<const AppliedRecord> records, std::int64_t rows) {
  constexpr std::int64_t kBatchRows = 64;
  z_ = z;
  bands_.clear();
  if (rows > kBatchRows) return;
  std::int64_t row_end = 0;
  for (std::size_t begin = 0, end = 0; begin < records.size(); begin = end) {
    const AppliedRecord& first = records[begin];
    const auto covers_the_same = [&](const AppliedRecord& applied) {
      return applied.row_begin == first.row_begin && applied.row_count == first.row_count;
    };
    while (end < records.size() && covers_the_same(records[end])) ++end;
    if (first.row_begin < row_end) return bands_.clear();
    row_end = first.row_begin + first.row_count;
    if (first.row_count <= kExpandDeferredRows) bands_.push_back(records.subspan(begin, end - begin));
  }
}

bool ExpandDeferred::holds(const AppliedRecord& record) const { return !bands_.empty() && record.row_count <= kExpandDeferredRows; }

// Work items cover pieces of y's columns one after another, as the threads that computed y did.
void ExpandDeferred::run(Tensor y) {
  constexpr std::int64_t kItemsPerThread = 4;
  constexpr std::int64_t kPieceCols = 64;
  if (bands_.empty()) return;
  std::int64_t bytes = 1;
  std::int64_t bytes_max = 0;
  for (const std::span<const AppliedRecord> band : bands_) {
    bytes += bytes_of_b(band);
    bytes_max = std::max(bytes_max, bytes_of_b(band));
  }
  const std::int64_t cols = (y.cols + kPieceCols - 1) / kPieceCols;
  const std::int64_t pieces = std::clamp<std::int64_t>(bytes_max * pool_.thread_count() * kItemsPerThread / bytes + 1, 1, cols);
  items_.clear();
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t begin = cols * piece / pieces * kPieceCols;
    const std::int64_t end = std::min(cols * (piece + 1) / pieces * kPieceCols, y.cols);
    for (const std::span<const AppliedRecord> band : bands_) items_.push_back({y, z_, band, begin, end});
  }
  pool_.parallel_for(static_cast<std::int64_t>(items_.size()), [&](std::int64_t index, int) {
    const auto i = static_cast<std::size_t>(index);
    kernels_.expand_deferred(items_[i], i + 1 < items_.size() ? &items_[i + 1] : nullptr);
  });
}

}  // namespace slora::cpu
