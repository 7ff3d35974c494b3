#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "formats/quantization_config.h"
#include "formats/tensor_form.h"

namespace slora {

// A weight [out, in] whose numbers are (code - zero) x scale, and where the three lie. Scales and zeros are those of blocks of scale_rows x
// scale_columns numbers, or, where `groups` says so, of rows and groups of inputs.
struct QuantisedMatrix {
  WeightCodes codes = WeightCodes::gptq;  // not nf4
  std::int32_t bits = 4;
  std::int64_t out = 0, in = 0;
  std::int64_t scale_rows = 1, scale_columns = 1;
  StoredTensor code_part;
  StoredTensor scale_part;                // of a float type: [groups, out] of gptq and awq, else [blocks of out, blocks of in]
  std::optional<StoredTensor> zero_part;  // integers as the codes: packed along out, [groups, words] of gptq and awq, [words, groups] of
                                          // packed; I8 of the scales' shape of int8
  bool stores_zeros_less_one = false;
  std::vector<std::int32_t> groups;  // [in], each below the number of groups; empty: input i has i / scale_columns
  DType dtype = DType::f32;          // to which products are rounded

  [[nodiscard]] std::int64_t group_count() const { return (in + scale_columns - 1) / scale_columns; }
};

// Its numbers as the programs that made it compute them: one product in fp32, rounded to `dtype`. E_NONFINITE for scales that are not
// finite, naming their tensor. Reads some rows at a time: of gptq and awq, which keep a row's numbers apart from each other, a piece of
// every stored row. Requires: shapes and types of the parts as described.
[[nodiscard]] std::shared_ptr<const TensorForm> dequantised(QuantisedMatrix matrix);

// A weight of `count` numbers in bitsandbytes' NF4: blocks of block_elements follow each other, the last may be shorter.
struct Nf4Matrix {
  std::int64_t count = 0, row_elements = 0;
  std::int64_t block_elements = 64;
  StoredTensor code_part;    // two numbers in a byte, the first in the high bits
  StoredTensor absmax_part;  // F32 [blocks], or U8 [blocks] if there are `nested` ones
  // Of absmax that is quantised too: map[code] x absmax[block / 256] + offset.
  struct Nested {
    std::vector<float> map;     // [256]
    std::vector<float> absmax;  // [blocks / 256, rounded up]
    float offset = 0;
  };
  std::optional<Nested> nested;
  DType dtype = DType::f32;  // to which products are rounded
};
inline constexpr std::int64_t kNestedBlockElements = 256;

// As dequantised().
[[nodiscard]] std::shared_ptr<const TensorForm> dequantised(Nf4Matrix matrix);

}  // namespace slora
