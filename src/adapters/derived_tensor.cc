#include "adapters/derived_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {

Result<std::vector<float>> read_rows(const SafetensorsFile& file, const TensorInfo& tensor, std::int64_t row_begin,
                                     std::int64_t row_count) {
  const std::int64_t cols = tensor.shape.back();
  const std::size_t element_bytes = bytes_of(tensor.dtype);
  const auto count = static_cast<std::size_t>(row_count * cols);
  std::vector<std::byte> bytes(count * element_bytes);
  if (Status read = file.read_part(tensor, static_cast<std::uint64_t>(row_begin * cols) * element_bytes, bytes); !read)
    return forward_error(read);
  std::vector<float> values(count);
  convert_to_float(values.data(), bytes.data(), tensor.dtype, count);
  const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  if (bad == values.end()) return values;
  return error("E_NONFINITE", "tensor {}: expected finite numbers, found {} at element {}", quote(tensor.name), *bad,
               row_begin * cols + (bad - values.begin()));
}

Result<std::vector<float>> read_all(const SafetensorsFile& file, const TensorInfo& tensor) {
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return read_rows(file, tensor, 0, rows);
}

}  // namespace slora
