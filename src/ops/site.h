#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace slora {

// A fused product of the base model that adapters may modify. Its output is the concatenation of its modules' outputs:
// qkv = q | k | v, gate_up = gate | up; the others have one module.
enum class SiteKind : std::uint8_t { qkv, o, gate_up, down, head };
inline constexpr int kSiteKindCount = 5;

// One such product: `layer` is 0 for the head.
struct Site {
  std::int32_t layer;
  SiteKind kind;
  auto operator<=>(const Site&) const = default;
};

inline constexpr Site kHeadSite{0, SiteKind::head};

constexpr std::string_view name_of(SiteKind kind) {
  constexpr std::array<std::string_view, kSiteKindCount> names = {"qkv", "o", "gate_up", "down", "head"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace slora
