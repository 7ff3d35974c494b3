#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/device.h"

namespace slora::cuda {

// The span that contains the row, or null: the last one that begins at or before it, if it reaches that far.
__device__ inline const Span* span_of_row(const StepSpans& spans, std::int32_t row) {
  std::int32_t begin = 0;
  std::int32_t end = *spans.count;
  while (begin < end) {
    const std::int32_t middle = (begin + end) / 2;
    if (spans.spans[middle].row_begin <= row) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == 0) return nullptr;
  const Span* const span = spans.spans + (begin - 1);
  return row < span->row_begin + span->row_count ? span : nullptr;
}

}  // namespace slora::cuda
