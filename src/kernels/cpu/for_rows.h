#pragma once
#include <algorithm>

#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// Calls fn(row) for every row; on the pool's threads if all rows together cost more than waking one. `row_cost`: elements read or written
// per row.
template <class Function>
void for_rows(ThreadPool& pool, std::int64_t rows, std::int64_t row_cost, Function&& fn) {
  constexpr std::int64_t kItemCost = 8192;  // elements of a work item: a few microseconds
  const std::int64_t item_rows = std::max<std::int64_t>(1, kItemCost / std::max<std::int64_t>(1, row_cost));
  pool.parallel_for((rows + item_rows - 1) / item_rows, [&](std::int64_t item, int) {
    const std::int64_t end = std::min(rows, (item + 1) * item_rows);
    for (std::int64_t row = item * item_rows; row < end; ++row) fn(row);
  });
}

}  // namespace slora::cpu
