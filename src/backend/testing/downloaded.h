#pragma once
#include <vector>

#include "backend/backend.h"

namespace slora {

// The numbers of a matrix in device memory, as fp32.
inline std::vector<float> downloaded(Backend& backend, Tensor tensor) {
  const auto count = static_cast<std::size_t>(tensor.rows * tensor.cols);
  std::vector<std::byte> bytes(count * bytes_of(tensor.dtype));
  backend.download(bytes.data(), tensor);
  std::vector<float> numbers(count);
  convert_to_float(numbers.data(), bytes.data(), tensor.dtype, count);
  return numbers;
}

}  // namespace slora
