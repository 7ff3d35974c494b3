#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace slora::bench {

// Y [rows, out] fp32 = X [rows, in] bf16 times weights in bf16, by oneDNN: what a program gets that takes a library's products.
struct OneDnnShape {
  std::int64_t rows = 0, out = 0, in = 0;
  std::size_t copy_count = 1;  // weights to go through in turn
  int threads = 1;
};

// Computes the product with copy `index` of the weights, which lie as the library wants them. Empty when slora was built without
// libdnnl-dev, or the library can't do it on this machine.
[[nodiscard]] std::function<void(std::size_t index)> make_onednn_product(const OneDnnShape& shape);

}  // namespace slora::bench
