#include "adapters/derived_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

template <class Integer>
void widen(std::vector<std::int64_t>& out, const std::vector<std::byte>& bytes) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Integer value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    out[i] = std::int64_t{value};
  }
}

// The first that is no whole number of a size that fp32 can tell from its neighbours, or nullptr.
const float* find_no_index(const std::vector<float>& values) {
  constexpr float kExactMax = 0x1p24f;
  const auto is_index = [](float value) { return std::abs(value) <= kExactMax && value == std::trunc(value); };
  const auto at = std::ranges::find_if_not(values, is_index);
  return at != values.end() ? &*at : nullptr;
}

}  // namespace

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

Result<std::vector<std::int64_t>> read_indices(const SafetensorsFile& file, const TensorInfo& tensor, std::int64_t begin,
                                               std::int64_t count) {
  const std::size_t element_bytes = bytes_of(tensor.dtype);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::vector<std::byte> bytes(indices.size() * element_bytes);
  if (Status read = file.read_part(tensor, static_cast<std::uint64_t>(begin) * element_bytes, bytes); !read) return forward_error(read);
  switch (tensor.dtype) {
    case DType::u8:
      widen<std::uint8_t>(indices, bytes);
      return indices;
    case DType::i8:
      widen<std::int8_t>(indices, bytes);
      return indices;
    case DType::i16:
      widen<std::int16_t>(indices, bytes);
      return indices;
    case DType::i32:
      widen<std::int32_t>(indices, bytes);
      return indices;
    case DType::i64:
      widen<std::int64_t>(indices, bytes);
      return indices;
    default:
      break;
  }
  std::vector<float> values(indices.size());
  convert_to_float(values.data(), bytes.data(), tensor.dtype, values.size());
  if (const float* const bad = find_no_index(values); bad != nullptr) {
    return error("E_INDEX", "tensor {}: expected whole numbers, found {} at element {}", quote(tensor.name), *bad,
                 begin + (bad - values.data()));
  }
  std::ranges::transform(values, indices.begin(), [](float value) { return static_cast<std::int64_t>(value); });
  return indices;
}

}  // namespace slora
