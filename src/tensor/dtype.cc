#include "tensor/dtype.h"

#include <cmath>
#include <cstring>

namespace slora {

float to_float(Float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1fu) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);  // subnormal: mantissa x 2^-24
  return sign != 0 ? -magnitude : magnitude;
}

Float16 to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {                                                      // below 2^-14: a multiple of 2^-24
    const float scaled = std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24));
    return {static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(scaled))};
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23);
  return {static_cast<std::uint16_t>(sign | (rounded >> 13))};
}

void convert_to_float(float* out, const void* source, DType dtype, std::size_t count) {
  const auto widen = [&](auto element) {
    using T = decltype(element);
    const auto* in = static_cast<const T*>(source);
    for (std::size_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<T, double>) {
        out[i] = static_cast<float>(in[i]);
      } else {
        out[i] = to_float(in[i]);
      }
    }
  };
  switch (dtype) {
    case DType::f32: std::memcpy(out, source, count * sizeof(float)); return;
    case DType::f16: return widen(Float16{});
    case DType::bf16: return widen(Bfloat16{});
    case DType::f64: return widen(double{});
    default: check(false, "a float element type");
  }
}

void convert_from_float(void* out, DType dtype, const float* source, std::size_t count) {
  switch (dtype) {
    case DType::f32: std::memcpy(out, source, count * sizeof(float)); return;
    case DType::f16:
      for (std::size_t i = 0; i < count; ++i) static_cast<Float16*>(out)[i] = to_float16(source[i]);
      return;
    case DType::bf16:
      for (std::size_t i = 0; i < count; ++i) static_cast<Bfloat16*>(out)[i] = to_bfloat16(source[i]);
      return;
    default: check(false, "a float element type that tensors are stored in");
  }
}

}  // namespace slora
