#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slora {

// A place of the base model that adapters may modify. First its fused products: their output is the concatenation of their modules'
// outputs: qkv = q | k | v, gate_up = gate | up, router = scores of the experts | that of the shared one; the others have one module. Then
// its norms, and the embedding of tokens.
enum class SiteKind : std::uint8_t {
  qkv,
  o,
  gate_up,
  down,
  head,
  router,
  attention_norm,
  query_norm,
  key_norm,
  attention_out_norm,  // of what attention gives, before it is added
  mlp_norm,
  mlp_out_norm,  // of what the MLP gives
  output_norm,
  embedding
};
inline constexpr int kSiteKindCount = 14;

// One such place. `layer` is 0 for the head, the output norm and the embedding. `expert` is 0, but for gate_up and down of an expert that
// the router chooses, which are 1 and up; 0 is the MLP of all rows, be it the only one or an expert that is shared.
struct Site {
  std::int32_t layer;
  SiteKind kind;
  std::int32_t expert = 0;
  auto operator<=>(const Site&) const = default;
};

inline constexpr Site kHeadSite{0, SiteKind::head};
inline constexpr Site kOutputNormSite{0, SiteKind::output_norm};
inline constexpr Site kEmbeddingSite{0, SiteKind::embedding};

constexpr bool is_norm(SiteKind kind) { return kind >= SiteKind::attention_norm && kind <= SiteKind::output_norm; }
// Whether shards of a model hold slices of the product's inputs, so that each computes a partial sum of all outputs; else they hold slices
// of its outputs.
constexpr bool splits_input(SiteKind kind) { return kind == SiteKind::o || kind == SiteKind::down; }

// Length of an array that holds all sites of a model, layer after layer: those of every kind, then gate_up and down of each expert that
// the router chooses from.
constexpr std::size_t site_count(std::int32_t layer_count, std::int32_t expert_count = 0) {
  return static_cast<std::size_t>(layer_count) * (kSiteKindCount + 2 * static_cast<std::size_t>(expert_count));
}

// Index of a site in such an array. Requires: site.expert <= expert_count.
constexpr std::size_t index_of(Site site, std::int32_t expert_count = 0) {
  const std::size_t layer_begin = site_count(site.layer, expert_count);
  if (site.expert == 0) return layer_begin + static_cast<std::size_t>(site.kind);
  return layer_begin + kSiteKindCount + 2 * (static_cast<std::size_t>(site.expert) - 1) + (site.kind == SiteKind::down ? 1 : 0);
}

constexpr std::string_view name_of(SiteKind kind) {
  constexpr std::array<std::string_view, kSiteKindCount> names = {"qkv",
                                                                  "o",
                                                                  "gate_up",
                                                                  "down",
                                                                  "head",
                                                                  "router",
                                                                  "attention_norm",
                                                                  "query_norm",
                                                                  "key_norm",
                                                                  "attention_out_norm",
                                                                  "mlp_norm",
                                                                  "mlp_out_norm",
                                                                  "output_norm",
                                                                  "embedding"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace slora
