#include "kernels/cuda/testing/device_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace slora::cuda {
namespace {

constexpr std::int64_t kFarBytes = (std::int64_t{1} << 31) + 4096;

std::int64_t draw_stride(KernelCase& kernel_case, Rows place, std::int64_t cols, std::int64_t element_bytes) {
  const std::int64_t aligned = (cols + 7) / 8 * 8 + 8 * kernel_case.draw(0, 2);
  if (place == Rows::far) return kFarBytes / element_bytes + aligned;
  if (place == Rows::even) return cols + cols % 2 + 2 * kernel_case.draw(1, 5);
  return place == Rows::odd ? cols + kernel_case.draw(1, 9) : aligned;
}

}  // namespace

DeviceMatrix::DeviceMatrix(KernelCase& kernel_case, DType dtype, std::int64_t rows, std::int64_t cols, Rows place)
    : case_(kernel_case), is_sparse_(place == Rows::far) {
  const auto element_bytes = static_cast<std::int64_t>(bytes_of(dtype));
  const std::int64_t stride = draw_stride(kernel_case, place, cols, element_bytes);
  const std::int64_t before = place == Rows::odd ? 1 : 0;
  const auto bytes = static_cast<std::size_t>((before + (rows - 1) * stride + cols) * element_bytes);
  emulator::DeviceMemory& memory = kernel_case.device().memory();
  memory_ = is_sparse_ ? memory.allocate_sparse(bytes) : memory.allocate(bytes);
  tensor_ = {memory_ + before * element_bytes, dtype, rows, cols, stride};
}

DeviceMatrix::DeviceMatrix(KernelCase& kernel_case, DType dtype, std::int64_t rows, std::int64_t cols, Rows place, std::int64_t row_count,
                           const std::vector<float>& values)
    : DeviceMatrix(kernel_case, dtype, rows, cols, place) {
  const std::size_t row_bytes = static_cast<std::size_t>(cols) * bytes_of(dtype);
  std::vector<std::byte> converted(row_bytes);
  for (std::int64_t row = 0; row < row_count; ++row) {
    convert_from_float(converted.data(), dtype, values.data() + row * cols, static_cast<std::size_t>(cols));
    kernel_case.device().upload(tensor_.row_bytes(row), converted.data(), row_bytes);
  }
}

DeviceMatrix::~DeviceMatrix() { case_.device().memory().free(memory_); }

std::vector<float> DeviceMatrix::row(std::int64_t index) const {
  const auto cols = static_cast<std::size_t>(tensor_.cols);
  std::vector<std::byte> bytes(cols * bytes_of(tensor_.dtype));
  case_.device().download(bytes.data(), tensor_.row_bytes(index), bytes.size());
  std::vector<float> values(cols);
  convert_to_float(values.data(), bytes.data(), tensor_.dtype, cols);
  return values;
}

void DeviceMatrix::expect(const char* what, std::int64_t row_count, Tolerance tolerance, const Expected& expected) const {
  for (std::int64_t t = 0; t < tensor_.rows; ++t) {
    const std::vector<float> values = row(t);
    for (std::int64_t i = 0; i < tensor_.cols; ++i) {
      const float value = values[static_cast<std::size_t>(i)];
      if (t < row_count) {
        case_.expect_near(value, expected(t, i), tolerance, what, t, i);
      } else if (!is_untouched(value)) {
        case_.fail(fmt::format("{} [{}, {}]: expected an untouched row of padding, found {}", what, t, i, value));
      }
    }
    if (t + 1 < tensor_.rows && !has_untouched_gap(t))
      case_.fail(fmt::format("{} [{}, :]: expected an untouched gap after the row", what, t));
  }
}

void DeviceMatrix::expect_elements(const char* what, const std::vector<double>& expected, Tolerance tolerance) const {
  for (std::int64_t t = 0; t < tensor_.rows; ++t) {
    const std::vector<float> values = row(t);
    for (std::int64_t i = 0; i < tensor_.cols; ++i) {
      const float value = values[static_cast<std::size_t>(i)];
      const double element = expected[static_cast<std::size_t>(t * tensor_.cols + i)];
      if (!std::isnan(element)) {
        case_.expect_near(value, element, tolerance, what, t, i);
      } else if (!is_untouched(value)) {
        case_.fail(fmt::format("{} [{}, {}]: expected an untouched element, found {}", what, t, i, value));
      }
    }
    if (t + 1 < tensor_.rows && !has_untouched_gap(t))
      case_.fail(fmt::format("{} [{}, :]: expected an untouched gap after the row", what, t));
  }
}

bool DeviceMatrix::is_untouched(float value) const { return is_sparse_ ? value == 0 : std::isnan(value); }

bool DeviceMatrix::has_untouched_gap(std::int64_t index) const {
  const auto element_bytes = static_cast<std::int64_t>(bytes_of(tensor_.dtype));
  const std::int64_t gap_bytes = (tensor_.row_stride - tensor_.cols) * element_bytes;
  std::vector<std::byte> gap(static_cast<std::size_t>(std::min<std::int64_t>(gap_bytes, 64)));
  if (gap.empty()) return true;
  case_.device().download(gap.data(), tensor_.row_bytes(index) + tensor_.cols * element_bytes, gap.size());
  return std::all_of(gap.begin(), gap.end(), [&](std::byte value) { return value == (is_sparse_ ? std::byte{0} : std::byte{0xff}); });
}

}  // namespace slora::cuda
