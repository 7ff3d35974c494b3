#include "kernels/reference/linear.h"

#include <algorithm>
#include <vector>

namespace slora::reference {
namespace {

bool covers(const AppliedRecord& applied, std::int64_t row) {
  return row >= applied.row_begin && row < applied.row_begin + applied.row_count;
}

// y = W x
void product_row(float* y, const float* x, Tensor weight) {
  for (std::int64_t n = 0; n < weight.rows; ++n) {
    const float* w = weight.row<float>(n);
    float sum = 0;
    for (std::int64_t k = 0; k < weight.cols; ++k) sum += w[k] * x[k];
    y[n] = sum;
  }
}

// Calls take(row, first column, elements, count) for every tile's part of every row.
template <class Take>
void for_each_row(const TiledMatrix& matrix, Take take) {
  for (const Tile& tile : matrix) {
    const auto* elements = reinterpret_cast<const float*>(tile.data);
    for (std::int32_t row = 0; row < tile.row_count; ++row) {
      take(tile.row_begin + row, tile.col_begin, elements + row * tile.col_count, tile.col_count);
    }
  }
}

// All columns of a sparse matrix, and its values.
struct SparseElements {
  explicit SparseElements(const SparseMatrix& matrix) {
    for (const Tile& tile : matrix.columns) {
      for (std::int32_t i = 0; i < tile.col_count; ++i) {
        columns.push_back(matrix.columns.dtype == DType::u16 ? reinterpret_cast<const std::uint16_t*>(tile.data)[i]
                                                             : reinterpret_cast<const std::int32_t*>(tile.data)[i]);
      }
    }
    for_each_row(matrix.values, [&](std::int32_t, std::int32_t, const float* elements, std::int32_t count) {
      values.insert(values.end(), elements, elements + count);
    });
  }

  std::vector<std::int32_t> columns;
  std::vector<float> values;
};

// One row of a batch, and everything that its records need.
class RowProduct {
 public:
  RowProduct(Tensor weight, std::span<const float> bias, std::span<const AppliedRecord> records)
      : weight_(weight), base_bias_(bias), records_(records) {}

  void run(std::int64_t row, float* y, const float* x, const float* z) {
    product_row(y, x, weight_);
    for_each_record(row, [&](const AppliedRecord& applied) { scale_inputs(y, x, *applied.record); });
    find_bias(row);
    for (std::int64_t n = 0; n < weight_.rows; ++n)
      y[n] += has_gain_[static_cast<std::size_t>(n)] ? 0.0f : bias_[static_cast<std::size_t>(n)];
    for_each_record(row, [&](const AppliedRecord& applied) { add_record(y, x, z, applied); });
    for_each_record(row, [&](const AppliedRecord& applied) { scale_outputs(y, *applied.record); });
    for_each_record(row, [&](const AppliedRecord& applied) { replace_outputs(y, x, *applied.record); });
  }

 private:
  template <class Do>
  void for_each_record(std::int64_t row, Do run) {
    for (const AppliedRecord& applied : records_) {
      if (covers(applied, row)) run(applied);
    }
  }

  // The bias of the row, and which of its outputs are multiplied by a gain before they get it.
  void find_bias(std::int64_t row) {
    bias_.assign(static_cast<std::size_t>(weight_.rows), 0.0f);
    has_gain_.assign(static_cast<std::size_t>(weight_.rows), false);
    std::copy(base_bias_.begin(), base_bias_.end(), bias_.begin());
    for_each_record(row, [&](const AppliedRecord& applied) {
      const RecordView& record = *applied.record;
      if (record.replaces_bias()) std::copy_n(record.bias, record.out, bias_.begin() + record.slice_begin);
      if (record.gain != nullptr) std::fill_n(has_gain_.begin() + record.slice_begin, record.out, true);
    });
  }

  // product_ = W (factors * x)
  void multiply_scaled(const float* x, const std::vector<float>& factors) {
    scaled_.resize(factors.size());
    for (std::size_t k = 0; k < factors.size(); ++k) scaled_[k] = factors[k] * x[k];
    product_.resize(static_cast<std::size_t>(weight_.rows));
    product_row(product_.data(), scaled_.data(), weight_);
  }

  void scale_inputs(float* y, const float* x, const RecordView& record) {
    if (record.input_gain == nullptr) return;
    multiply_scaled(x, {record.input_gain, record.input_gain + weight_.cols});
    std::copy_n(product_.begin() + record.slice_begin, record.out, y + record.slice_begin);
  }

  void add_record(float* y, const float* x, const float* z, const AppliedRecord& applied) {
    const RecordView& record = *applied.record;
    float* slice = y + record.slice_begin;
    if (record.rank > 0 && !record.b.empty()) {
      delta_.assign(static_cast<std::size_t>(record.out), 0.0f);
      if (record.low_rank == LowRank::sum) {
        add_low_rank(z + applied.z_begin, record);
      } else {
        add_hadamard(x, record);
      }
      for (std::int32_t n = 0; n < record.out; ++n) {
        const float factor = record.delta_gain == nullptr ? 1.0f : record.delta_gain[n];
        slice[n] += applied.weight * record.scale * (factor * delta_[static_cast<std::size_t>(n)]);
      }
    }
    if (!record.sparse.empty()) add_sparse(slice, x, applied);
    if (record.bias != nullptr && record.bias_mode == BiasMode::add) {
      for (std::int32_t n = 0; n < record.out; ++n) {
        const auto col = static_cast<std::size_t>(record.slice_begin + n);
        (has_gain_[col] ? bias_[col] : y[col]) += applied.weight * record.bias[n];
      }
    }
  }

  // slice += weight * S x
  static void add_sparse(float* slice, const float* x, const AppliedRecord& applied) {
    const SparseMatrix& matrix = applied.record->sparse;
    const SparseElements elements(matrix);
    std::size_t i = 0;
    for (std::int32_t n = 0; n < applied.record->out; ++n) {
      float sum = 0;
      for (; i < static_cast<std::size_t>(matrix.row_ends[n]); ++i) sum += elements.values[i] * x[elements.columns[i]];
      slice[n] += applied.weight * sum;
    }
  }

  // delta_ += B z
  void add_low_rank(const float* z, const RecordView& record) {
    for_each_row(record.b, [&](std::int32_t rank, std::int32_t begin, const float* b, std::int32_t count) {
      for (std::int32_t i = 0; i < count; ++i) delta_[static_cast<std::size_t>(begin + i)] += b[i] * z[rank];
    });
  }

  // delta_ += (B A o W) x
  void add_hadamard(const float* x, const RecordView& record) {
    std::vector<float> factors(static_cast<std::size_t>(record.rank * weight_.cols));  // A
    for_each_row(record.a, [&](std::int32_t rank, std::int32_t begin, const float* a, std::int32_t count) {
      std::copy_n(a, count, factors.begin() + rank * weight_.cols + begin);
    });
    std::vector<float> products;  // [rank, out]
    for (std::int32_t rank = 0; rank < record.rank; ++rank) {
      const auto row = factors.begin() + rank * weight_.cols;
      multiply_scaled(x, {row, row + weight_.cols});
      products.insert(products.end(), product_.begin() + record.slice_begin, product_.begin() + record.slice_begin + record.out);
    }
    for_each_row(record.b, [&](std::int32_t rank, std::int32_t begin, const float* b, std::int32_t count) {
      const float* const product = products.data() + static_cast<std::ptrdiff_t>(rank) * record.out + begin;
      for (std::int32_t i = 0; i < count; ++i) delta_[static_cast<std::size_t>(begin + i)] += b[i] * product[i];
    });
  }

  void scale_outputs(float* y, const RecordView& record) {
    if (record.gain == nullptr) return;
    for (std::int32_t n = 0; n < record.out; ++n) {
      float& value = y[record.slice_begin + n];
      value = record.gain[n] * value + bias_[static_cast<std::size_t>(record.slice_begin + n)];
    }
  }

  // The tiles of one row come in column order.
  static void replace_outputs(float* y, const float* x, const RecordView& record) {
    const auto output_of = [&](std::int32_t row) -> float* {
      const std::int32_t id = record.row_ids == nullptr ? row : record.row_ids[row];
      return id >= 0 && id < record.out ? y + record.slice_begin + id : nullptr;  // else another shard's
    };
    for (std::int32_t row = 0; row < record.rows.rows; ++row) {
      if (float* const output = output_of(row); output != nullptr) *output = 0;
    }
    for_each_row(record.rows, [&](std::int32_t row, std::int32_t begin, const float* weights, std::int32_t count) {
      float* const output = output_of(row);
      if (output == nullptr) return;
      float sum = *output;
      for (std::int32_t i = 0; i < count; ++i) sum += weights[i] * x[begin + i];
      *output = sum;
    });
  }

  const Tensor weight_;
  const std::span<const float> base_bias_;
  const std::span<const AppliedRecord> records_;
  std::vector<float> bias_, delta_, scaled_, product_;
  std::vector<bool> has_gain_;
};

}  // namespace

void linear(Tensor y, Tensor x, Tensor weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records) {
  RowProduct product(weight, bias, records);
  for (std::int64_t t = 0; t < y.rows; ++t) product.run(t, y.row<float>(t), x.row<float>(t), z.row<float>(t));
}

}  // namespace slora::reference
