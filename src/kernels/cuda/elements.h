#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.h"
#include "tensor/tensor.h"

// Loads and stores of consecutive elements as fp32 numbers: eight at a time in accesses of 16 bytes, or one at a time for widths and
// addresses that allow no more. Real models have widths that are multiples of eight.
namespace slora::cuda {

inline constexpr std::int32_t kWide = 8;

template <std::int32_t kBytes>
struct alignas(kBytes) Words {
  std::uint32_t words[kBytes / 4];
};

template <std::int32_t kElements>
__device__ void load(float (&values)[kElements], const float* from) {
  if constexpr (kElements == 1) {
    values[0] = *from;
  } else {
    for (std::int32_t i = 0; i < kElements; i += 4) {
      const auto four = *reinterpret_cast<const Words<16>*>(from + i);
      for (std::int32_t j = 0; j < 4; ++j) values[i + j] = bits_to_float(four.words[j]);
    }
  }
}
template <std::int32_t kElements>
__device__ void load(float (&values)[kElements], const Bfloat16* from) {
  if constexpr (kElements == 1) {
    values[0] = bits_to_float(static_cast<std::uint32_t>(from->bits) << 16);
  } else {
    const auto eight = *reinterpret_cast<const Words<16>*>(from);
    for (std::int32_t i = 0; i < kElements; i += 2) {
      values[i] = bits_to_float(eight.words[i / 2] << 16);
      values[i + 1] = bits_to_float(eight.words[i / 2] & 0xffff0000u);
    }
  }
}

template <std::int32_t kElements>
__device__ void store(float* to, const float (&values)[kElements]) {
  if constexpr (kElements == 1) {
    *to = values[0];
  } else {
    for (std::int32_t i = 0; i < kElements; i += 4) {
      Words<16> four;
      for (std::int32_t j = 0; j < 4; ++j) four.words[j] = float_to_bits(values[i + j]);
      *reinterpret_cast<Words<16>*>(to + i) = four;
    }
  }
}
template <std::int32_t kElements>
__device__ void store(Bfloat16* to, const float (&values)[kElements]) {
  if constexpr (kElements == 1) {
    to->bits = static_cast<std::uint16_t>(pack_bf16(values[0], 0));
  } else {
    Words<16> eight;
    for (std::int32_t i = 0; i < kElements; i += 2) eight.words[i / 2] = pack_bf16(values[i], values[i + 1]);
    *reinterpret_cast<Words<16>*>(to) = eight;
  }
}

// Eight elements, or one, as they are.
template <std::int32_t kElements>
__device__ void copy_elements(Bfloat16* to, const Bfloat16* from) {
  if constexpr (kElements == 1) {
    *to = *from;
  } else {
    *reinterpret_cast<Words<16>*>(to) = *reinterpret_cast<const Words<16>*>(from);
  }
}

// Host: can rows of this tensor be accessed eight elements at a time?
inline bool is_wide(const Tensor& tensor) {
  const auto bytes = static_cast<std::int64_t>(bytes_of(tensor.dtype));
  return tensor.cols % kWide == 0 && tensor.row_stride * bytes % 16 == 0 && reinterpret_cast<std::uintptr_t>(tensor.data) % 16 == 0;
}

// Host: the data of a tensor with elements of type T.
template <class T>
T* data_of(const Tensor& tensor) {
  check(tensor.dtype == (sizeof(T) == sizeof(float) ? DType::f32 : DType::bf16), "expected another element type");
  return reinterpret_cast<T*>(tensor.data);
}

}  // namespace slora::cuda
