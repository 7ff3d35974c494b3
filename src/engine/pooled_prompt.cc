#include "engine/pooled_prompt.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {

void PooledPrompt::add(Pooling pooling, std::int32_t position_begin, Tensor hidden) {
  const auto size = static_cast<std::size_t>(hidden.cols);
  row_.resize(size);
  if (pooling == Pooling::last) {
    convert_to_float(row_.data(), hidden.row_bytes(hidden.rows - 1), hidden.dtype, size);
    return;
  }
  check(position_begin <= added_, "expected no position of the prompt to be missing");
  sum_.resize(size);
  for (std::int64_t row = added_ - position_begin; row < hidden.rows; ++row) {
    convert_to_float(row_.data(), hidden.row_bytes(row), hidden.dtype, size);
    for (std::size_t i = 0; i < size; ++i) sum_[i] += static_cast<double>(row_[i]);
    ++added_;
  }
}

std::vector<float> PooledPrompt::take() {
  std::ranges::transform(sum_, row_.begin(), [this](double sum) { return static_cast<float>(sum / added_); });
  return std::move(row_);
}

}  // namespace slora
