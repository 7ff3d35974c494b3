#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace slora::bench {

// Y [rows, out] fp32 = X [rows, in] bf16 times bf16 weights, by oneDNN, for comparison.
struct OneDnnShape {
  std::int64_t rows = 0, out = 0, in = 0;
  std::size_t copy_count = 1;  // copies of the weights, used in rotation
  int threads = 1;
};

// Computes the product with copy `index` of the weights, in the library's own layout. Empty when slora was built without libdnnl-dev,
// or the library does not support it on this machine.
[[nodiscard]] std::function<void(std::size_t index)> make_onednn_product(const OneDnnShape& shape);

}  // namespace slora::bench
