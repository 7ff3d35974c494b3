#include "kernels/cpu/adapter_backward.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int64_t kVector = 16;
constexpr std::int64_t kItemTiles = 4;

std::int64_t whole_vectors(std::int64_t cols) { return (cols + kVector - 1) / kVector * kVector; }

bool is_same(Tensor a, Tensor b) { return a.data == b.data && a.rows == b.rows && a.cols == b.cols; }

}  // namespace

void AdapterBackward::run(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  check(x.dtype == DType::bf16, "expected x in bf16");
  plan(dx, d_z, dy, x, z, modules);
  std::int64_t out_max = 0, rank_max = 0;
  for (const TrainedRows& rows : modules) {
    out_max = std::max(out_max, rows.module->b.rows);
    rank_max = std::max(rank_max, whole_vectors(rows.module->a.rows));
  }
  const std::int64_t floats = std::max(kTurnedRows * (out_max + rank_max + 1), kGradientCols * (kGradientRows + rank_max));
  auto* scratch = scratch_.take<float>(static_cast<std::size_t>(floats * pool_.thread_count()));
  const std::int64_t item_rows = kItemTiles * kernels_.tile_rows;
  pool_.parallel_for((dy.rows + item_rows - 1) / item_rows, [&](std::int64_t item, int worker) {
    for (const AdapterBackwardCall& call : calls_) {
      const std::int64_t begin = std::max<std::int64_t>(item * item_rows, call.rows->row_begin);
      const std::int64_t end = std::min<std::int64_t>((item + 1) * item_rows, call.rows->row_begin + call.rows->row_count);
      if (begin < end) kernels_.train.adapter_rows(call, begin, end, scratch + floats * worker);
    }
  });
  const std::int64_t a_items = (x.cols + kGradientCols - 1) / kGradientCols, b_items = (dy.cols + kGradientCols - 1) / kGradientCols;
  pool_.parallel_for(a_items + b_items, [&](std::int64_t item, int worker) {
    for (const AdapterBackwardCall& call : calls_) {
      if (item < a_items) {
        const std::int64_t begin = item * kGradientCols;
        kernels_.train.adapter_a_gradient(call, begin, std::min(begin + kGradientCols, x.cols), scratch + floats * worker);
        continue;
      }
      const TrainedModule& module = *call.rows->module;
      const std::int64_t col = (item - a_items) * kGradientCols - module.slice_begin;
      const std::int64_t begin = std::max<std::int64_t>(0, col), end = std::min(col + kGradientCols, module.b.rows);
      if (begin < end) kernels_.train.adapter_b_gradient(call, begin, end, scratch + floats * worker);
    }
  });
}

void AdapterBackward::plan(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  copies_.clear();
  std::int64_t count = 0;
  const auto add_copy = [&](Tensor from) {
    const auto same = std::ranges::find_if(copies_, [&](const Copy& copy) { return is_same(copy.from, from); });
    Copy copy{from};
    if (same != copies_.end()) {
      copy.offset = same->offset;
    } else if (from.cols % kVector != 0) {
      copy.offset = count;
      count += from.rows * whole_vectors(from.cols);
    }
    copies_.push_back(copy);
  };
  for (const TrainedRows& rows : modules) {
    add_copy(rows.module->a);
    add_copy(rows.module->b);
    add_copy(z.rows_from(rows.row_begin, rows.row_count).cols_from(rows.module->z_begin, rows.module->a.rows));
  }
  floats_ = memory_.take<float>(static_cast<std::size_t>(count));
  pool_.parallel_for(std::ssize(copies_), [&](std::int64_t i, int) {
    const Copy& copy = copies_[static_cast<std::size_t>(i)];
    const bool is_first =
        std::ranges::find_if(copies_, [&](const Copy& other) { return is_same(other.from, copy.from); }) == copies_.begin() + i;
    if (copy.offset < 0 || !is_first) return;
    const std::int64_t width = whole_vectors(copy.from.cols);
    for (std::int64_t row = 0; row < copy.from.rows; ++row) {
      float* to = floats_ + copy.offset + row * width;
      std::copy_n(copy.from.row<float>(row), copy.from.cols, to);
      std::fill_n(to + copy.from.cols, width - copy.from.cols, 0.0f);
    }
  });
  calls_.clear();
  for (std::size_t i = 0; i < modules.size(); ++i) {
    calls_.push_back({dx, d_z, dy, x, wide_copy(3 * i), wide_copy(3 * i + 1), wide_copy(3 * i + 2), &modules[i]});
  }
}

Tensor AdapterBackward::wide_copy(std::size_t index) const {
  const Copy& copy = copies_[index];
  if (copy.offset < 0) return copy.from;
  const std::int64_t width = whole_vectors(copy.from.cols);
  return {reinterpret_cast<std::byte*>(floats_ + copy.offset), DType::f32, copy.from.rows, width, width};
}

}  // namespace slora::cpu
