#include "adapters/derived_products.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace slora {
namespace {

std::string product_name(const TensorInfo& first, const TensorInfo& second) { return fmt::format("{} * {}", first.name, second.name); }

using Numbers = std::vector<float>;

// The same rows of two tensors.
Result<std::pair<Numbers, Numbers>> read_pair(const SafetensorsFile& file, const TensorInfo& first, const TensorInfo& second,
                                              std::int64_t row_begin, std::int64_t row_count) {
  Result<Numbers> one = read_rows(file, first, row_begin, row_count);
  if (!one) return forward_error(one);
  Result<Numbers> other = read_rows(file, second, row_begin, row_count);
  if (!other) return forward_error(other);
  return std::pair(std::move(*one), std::move(*other));
}

}  // namespace

ScaledRows::ScaledRows(const TensorInfo& rows, const TensorInfo& factors)
    : DerivedTensor(product_name(rows, factors), rows.shape, {rows.name, factors.name}), rows_(rows), factors_(factors) {}

Status ScaledRows::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& /*gate*/) const {
  const Result<std::pair<Numbers, Numbers>> read = read_pair(file, rows_, factors_, row_begin, row_count);
  if (!read) return tl::unexpected(read.error());
  const auto& [rows, factors] = *read;
  const std::int64_t cols = rows_.shape[1];
  for (std::int64_t i = 0; i < row_count; ++i) {
    for (std::int64_t col = 0; col < cols; ++col) out[i * cols + col] = factors.data()[i] * rows.data()[i * cols + col];
  }
  return {};
}

RowProducts::RowProducts(const TensorInfo& first, const TensorInfo& second)
    : DerivedTensor(product_name(first, second), {first.shape[0] * first.shape[0], first.shape[1]}, {first.name, second.name}),
      first_(first),
      second_(second) {}

Status RowProducts::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& /*gate*/) const {
  const std::int64_t rank = first_.shape[0], cols = first_.shape[1];
  const Result<std::pair<Numbers, Numbers>> read = read_pair(file, first_, second_, 0, rank);
  if (!read) return tl::unexpected(read.error());
  for (std::int64_t i = 0; i < row_count; ++i) {
    const float* const first = read->first.data() + (row_begin + i) / rank * cols;
    const float* const second = read->second.data() + (row_begin + i) % rank * cols;
    for (std::int64_t col = 0; col < cols; ++col) out[i * cols + col] = first[col] * second[col];
  }
  return {};
}

ColumnProducts::ColumnProducts(const TensorInfo& first, const TensorInfo& second)
    : DerivedTensor(product_name(first, second), {first.shape[0], first.shape[1] * first.shape[1]}, {first.name, second.name}),
      first_(first),
      second_(second) {}

Status ColumnProducts::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& /*gate*/) const {
  const std::int64_t rank = first_.shape[1];
  const Result<std::pair<Numbers, Numbers>> read = read_pair(file, first_, second_, row_begin, row_count);
  if (!read) return tl::unexpected(read.error());
  for (std::int64_t i = 0; i < row_count; ++i) {
    for (std::int64_t j = 0; j < rank; ++j) {
      for (std::int64_t k = 0; k < rank; ++k) *out++ = read->first.data()[i * rank + j] * read->second.data()[i * rank + k];
    }
  }
  return {};
}

}  // namespace slora
