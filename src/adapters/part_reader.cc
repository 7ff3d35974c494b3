#include "adapters/part_reader.h"

#include <algorithm>
#include <cstddef>

namespace slora {

Result<std::vector<float>> PartReader::read(const AdapterPart& part) { return read(part, 0, part.slice.row_count); }

Result<std::vector<float>> PartReader::read_row(const AdapterPart& part, std::int64_t row) { return read(part, row, 1); }

Result<std::vector<float>> PartReader::read(const AdapterPart& part, std::int64_t row_begin, std::int64_t row_count) {
  const std::size_t source = part.source.value, file_count = file_.tensors().size();
  const std::int64_t first = part.origin.row_begin + part.slice.row_begin + row_begin;
  std::vector<float> rows;  // whole ones
  std::int64_t cols = 0;
  if (source < file_count) {
    const TensorInfo& tensor = file_.tensors()[source];
    cols = tensor.shape.back();
    Result<std::vector<float>> read = read_rows(file_, tensor, first, row_count);
    if (!read) return read;
    rows = std::move(*read);
  } else {
    const DerivedTensor& tensor = *derived_[source - file_count];
    cols = tensor.shape().back();
    rows.resize(static_cast<std::size_t>(row_count * cols));
    if (Status computed = tensor.compute(rows.data(), file_, first, row_count, gate_); !computed) return forward_error(computed);
  }
  if (part.slice.col_begin == 0 && part.slice.col_count == cols) return rows;  // then it has all columns of its source, one after the other
  std::vector<float> slice;
  slice.reserve(static_cast<std::size_t>(row_count * part.slice.col_count));
  for (std::int64_t row = 0; row < row_count; ++row) {
    const float* const begin = rows.data() + row * cols + part.origin.col_begin;
    for (std::int64_t i = 0; i < part.slice.col_count; ++i) slice.push_back(begin[(part.slice.col_begin + i) * part.origin.col_step]);
  }
  return slice;
}

}  // namespace slora
