#include "kernels/reference/linear.h"

#include <algorithm>
#include <vector>

namespace slora::reference {
namespace {

bool covers(const AppliedRecord& applied, std::int64_t row) {
  return row >= applied.row_begin && row < applied.row_begin + applied.row_count;
}

void product_row(float* y, const float* x, Tensor weight) {
  for (std::int64_t n = 0; n < weight.rows; ++n) {
    const float* w = weight.row<float>(n);
    float sum = 0;
    for (std::int64_t k = 0; k < weight.cols; ++k) sum += w[k] * x[k];
    y[n] = sum;
  }
}

// delta [out] = B z
void expand_row(std::vector<float>& delta, const float* z, const RecordView& record) {
  delta.assign(static_cast<std::size_t>(record.out), 0.0f);
  for (const Tile& tile : record.b) {
    const auto* elements = reinterpret_cast<const float*>(tile.data);
    for (std::int32_t row = 0; row < tile.row_count; ++row) {
      for (std::int32_t col = 0; col < tile.col_count; ++col) {
        delta[static_cast<std::size_t>(tile.col_begin + col)] += elements[row * tile.col_count + col] * z[tile.row_begin + row];
      }
    }
  }
}

void add_record(float* y, const float* z, const AppliedRecord& applied, std::vector<float>& delta) {
  const RecordView& record = *applied.record;
  float* slice = y + record.slice_begin;
  if (record.rank > 0) {
    expand_row(delta, z + applied.z_begin, record);
    for (std::int32_t n = 0; n < record.out; ++n) slice[n] += applied.weight * record.scale * delta[static_cast<std::size_t>(n)];
  }
  if (record.bias != nullptr && record.bias_mode == BiasMode::add) {
    for (std::int32_t n = 0; n < record.out; ++n) slice[n] += applied.weight * record.bias[n];
  }
}

}  // namespace

void linear(Tensor y, Tensor x, Tensor weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records) {
  std::vector<float> row_bias(static_cast<std::size_t>(y.cols));
  std::vector<float> delta;
  for (std::int64_t t = 0; t < y.rows; ++t) {
    std::fill(row_bias.begin(), row_bias.end(), 0.0f);
    std::copy(bias.begin(), bias.end(), row_bias.begin());
    for (const AppliedRecord& applied : records) {
      const RecordView& record = *applied.record;
      if (record.bias == nullptr || record.bias_mode != BiasMode::replace || !covers(applied, t)) continue;
      std::copy_n(record.bias, record.out, row_bias.begin() + record.slice_begin);
    }
    product_row(y.row<float>(t), x.row<float>(t), weight);
    for (std::int64_t n = 0; n < y.cols; ++n) y.row<float>(t)[n] += row_bias[static_cast<std::size_t>(n)];
    for (const AppliedRecord& applied : records) {
      if (covers(applied, t)) add_record(y.row<float>(t), z.row<float>(t), applied, delta);
    }
  }
}

}  // namespace slora::reference
