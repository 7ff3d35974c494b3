#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/dtype.h"

namespace slora {

// A type of tensors in GGUF files. Quantised ones keep blocks of consecutive numbers of a row, with factors for each block.
struct GgufType {
  std::uint32_t number;  // in files
  std::string_view name;
  std::size_t block_elements, block_bytes;
  DType dtype;  // of what is read: their own for plain numbers, else F32
  // Fills `out`, of block_elements numbers, from the bytes of a block; in fp32 and exactly as ggml does it, up to the order of operations.
  // Null: plain numbers.
  void (*dequantise)(float* out, const std::byte* block);

  [[nodiscard]] bool is_quantised() const { return dequantise != nullptr; }
};

// Those that are read.
[[nodiscard]] std::span<const GgufType> gguf_types();
// Nullptr for one that is not read.
[[nodiscard]] const GgufType* find_gguf_type(std::uint32_t number);
// Of any type that ggml has; empty for other numbers.
[[nodiscard]] std::string_view gguf_type_name(std::uint32_t number);

}  // namespace slora
