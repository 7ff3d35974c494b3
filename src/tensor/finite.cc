#include "tensor/finite.h"

#include <cstdint>
#include <cstring>

namespace slora {
namespace {

// Compares bits, where NaN and infinity are above every finite number, without a branch in the loop, so that the compiler vectorizes it.
template <class Bits>
std::optional<std::size_t> first_from(const void* source, std::size_t count, Bits bound) {
  constexpr std::size_t kBlock = 4096;
  constexpr Bits kMagnitude = static_cast<Bits>(~Bits{0}) >> 1;
  const auto* bytes = static_cast<const std::byte*>(source);
  const auto reaches_bound = [&](std::size_t i) {
    Bits bits;
    std::memcpy(&bits, bytes + i * sizeof(Bits), sizeof(Bits));
    return static_cast<Bits>(bits & kMagnitude) >= bound;
  };
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t end = begin + kBlock < count ? begin + kBlock : count;
    unsigned any = 0;
    for (std::size_t i = begin; i < end; ++i) any |= reaches_bound(i) ? 1u : 0u;
    if (any == 0) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (reaches_bound(i)) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> first_not_finite(const void* source, DType dtype, std::size_t count) {
  switch (dtype) {
    case DType::f16:
      return first_from<std::uint16_t>(source, count, 0x7c00);
    case DType::bf16:
      return first_from<std::uint16_t>(source, count, 0x7f80);
    case DType::f32:
      return first_from<std::uint32_t>(source, count, 0x7f7f8000);  // halfway between the largest bf16 and infinity
    default:
      break;
  }
  fail_check("expected f32, f16 or bf16", std::source_location::current());
}

}  // namespace slora
