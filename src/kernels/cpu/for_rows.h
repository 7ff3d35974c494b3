#pragma once
#include <algorithm>

#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// Calls fn(row) for every row, on the pool's threads when all rows together are worth waking one. `row_cost`: elements touched.
template <class Function>
void for_rows(ThreadPool& pool, std::int64_t rows, std::int64_t row_cost, Function&& fn) {
  constexpr std::int64_t kTurnCost = 8192;  // a few microseconds
  const std::int64_t turn_rows = std::max<std::int64_t>(1, kTurnCost / std::max<std::int64_t>(1, row_cost));
  pool.parallel_for((rows + turn_rows - 1) / turn_rows, [&](std::int64_t turn, int) {
    const std::int64_t end = std::min(rows, (turn + 1) * turn_rows);
    for (std::int64_t row = turn * turn_rows; row < end; ++row) fn(row);
  });
}

}  // namespace slora::cpu
