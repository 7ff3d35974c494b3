#include "tensor/dtype.h"

#include <cmath>
#include <cstring>

namespace slora {
namespace {

// Without branches and with internal linkage, so that loops over it are vectorised. A subnormal is mantissa * 2^-24, computed as the
// difference of two numbers whose lowest bit has that value.
float widened(Float16 value) {
  constexpr std::uint32_t kRebias = 112u << 23, kSmallestNormal = 113u << 23, kInfinity = 0x1fu << 23;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(value.bits & 0x7fffu) << 13;
  const std::uint32_t normal = magnitude + kRebias + (magnitude >= kInfinity ? kRebias : 0);
  const float subnormal = std::bit_cast<float>(magnitude + kSmallestNormal) - std::bit_cast<float>(kSmallestNormal);
  const std::uint32_t is_normal = 0u - static_cast<std::uint32_t>(magnitude >= 1u << 23);  // all bits or none
  return std::bit_cast<float>(sign | (normal & is_normal) | (std::bit_cast<std::uint32_t>(subnormal) & ~is_normal));
}

}  // namespace

float to_float(Float16 value) { return widened(value); }

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
      } else if constexpr (std::is_same_v<T, Float16>) {
        out[i] = widened(in[i]);
      } else {
        out[i] = to_float(in[i]);
      }
    }
  };
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, source, count * sizeof(float));
      return;
    case DType::f16:
      return widen(Float16{});
    case DType::bf16:
      return widen(Bfloat16{});
    case DType::f64:
      return widen(double{});
    default:
      check(false, "expected a float element type");
  }
}

void convert_from_float(void* out, DType dtype, const float* source, std::size_t count) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, source, count * sizeof(float));
      return;
    case DType::f16:
      for (std::size_t i = 0; i < count; ++i) static_cast<Float16*>(out)[i] = to_float16(source[i]);
      return;
    case DType::bf16:
      for (std::size_t i = 0; i < count; ++i) static_cast<Bfloat16*>(out)[i] = to_bfloat16(source[i]);
      return;
    default:
      check(false, "expected a float element type that tensors are stored in");
  }
}

}  // namespace slora
