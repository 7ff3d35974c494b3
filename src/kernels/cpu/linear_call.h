#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/mixed_weight.h"

namespace slora::cpu {

// The arguments of a product with a MixedWeight: those of both parts, for the same y.
template <class CoarseCall, class FineCall>
struct MixedLinearCall {
  CoarseCall coarse;
  FineCall fine;
};

// Calls write y from column `col_begin` of W x on.
template <class Call>
void set_output(Call& call, Tensor y, std::int64_t col_begin) {
  call.y = y;
  call.col_begin = col_begin;
}
template <class CoarseCall, class FineCall>
void set_output(MixedLinearCall<CoarseCall, FineCall>& call, Tensor y, std::int64_t col_begin) {
  set_output(call.coarse, y, col_begin);
  set_output(call.fine, y, col_begin);
}

// Computes panels [begin, end).
inline void run_columns(const Kernels& kernels, const LinearCall& call, std::int64_t begin, std::int64_t end) {
  kernels.linear_columns(call, begin, end);
}
template <class Weight>
void run_columns(const Kernels& kernels, const ByteLinearCall<Weight>& call, std::int64_t begin, std::int64_t end) {
  kernels.of<Weight>().linear_columns(call, begin, end);
}
template <class CoarseCall, class FineCall>
void run_columns(const Kernels& kernels, const MixedLinearCall<CoarseCall, FineCall>& call, std::int64_t begin, std::int64_t end) {
  const std::int64_t first_fine = call.fine.weight.first_panel;
  if (begin < first_fine) run_columns(kernels, call.coarse, begin, std::min(end, first_fine));
  if (end > first_fine) run_columns(kernels, call.fine, std::max(begin, first_fine), end);
}

}  // namespace slora::cpu
