#pragma once
#include <cstdint>

namespace slora {

// What numbers are drawn for.
enum class DrawPurpose : std::uint64_t { initial_value = 1, sample_order = 2 };

// Random bits of (seed, purpose, stream, index): a hash, so that they are the same on every machine, and none depends on how many were
// drawn before. SplitMix64's finaliser over each of the numbers in turn.
[[nodiscard]] constexpr std::uint64_t drawn_bits(std::uint64_t seed, DrawPurpose purpose, std::uint64_t stream, std::uint64_t index) {
  const auto mixed = [](std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  };
  return mixed(mixed(mixed(mixed(seed) ^ static_cast<std::uint64_t>(purpose)) ^ stream) ^ index);
}

// Uniform in [0, 1).
[[nodiscard]] constexpr double drawn_number(std::uint64_t seed, DrawPurpose purpose, std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(drawn_bits(seed, purpose, stream, index) >> 11) * 0x1p-53;
}

}  // namespace slora
