#pragma once
#include <span>
#include <vector>

#include "kernels/cuda/testing/device_matrix.h"
#include "ops/token.h"

namespace slora::cuda {

// Rows of logits: where they are far apart, enough for an offset of 2^31 elements.
struct LogitsShape {
  Rows place;
  std::int32_t rows;
  std::int32_t row_count;
  std::int32_t vocab;
};
LogitsShape draw_logits_shape(KernelCase& kernel_case);

// Logits [rows, vocab]: many equal ones, some -inf; in some rows +inf, NaN or nothing finite.
std::vector<float> draw_logits(KernelCase& kernel_case, std::int32_t rows, std::int32_t vocab);

// Compares a result of the device with the reference's for the same row of logits [vocab].
void expect_result(KernelCase& kernel_case, const TokenResult& got, const TokenResult& expected, std::span<const float> logits,
                   std::int32_t row);

}  // namespace slora::cuda
