#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slora {

// A place of the base model that adapters may modify. First its fused products: their output is the concatenation of their modules'
// outputs: qkv = q | k | v, gate_up = gate | up; the others have one module. Then its norms, and the embedding of tokens.
enum class SiteKind : std::uint8_t {
  qkv,
  o,
  gate_up,
  down,
  head,
  attention_norm,
  query_norm,
  key_norm,
  attention_out_norm,  // of what attention gives, before it is added
  mlp_norm,
  mlp_out_norm,  // of what the MLP gives
  output_norm,
  embedding
};
inline constexpr int kSiteKindCount = 13;

// One such place. `layer` is 0 for the head, the output norm and the embedding; `expert` is 0 in models whose MLP is not a mixture of
// experts.
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

// Index of a site in an array that holds all sites of a model, layer after layer. Requires: site.expert < expert_count.
constexpr std::size_t index_of(Site site, std::int32_t expert_count = 1) {
  return (static_cast<std::size_t>(site.layer) * kSiteKindCount + static_cast<std::size_t>(site.kind)) *
             static_cast<std::size_t>(expert_count) +
         static_cast<std::size_t>(site.expert);
}

// Length of such an array.
constexpr std::size_t site_count(std::int32_t layer_count, std::int32_t expert_count = 1) {
  return static_cast<std::size_t>(layer_count) * kSiteKindCount * static_cast<std::size_t>(expert_count);
}

constexpr std::string_view name_of(SiteKind kind) {
  constexpr std::array<std::string_view, kSiteKindCount> names = {"qkv",
                                                                  "o",
                                                                  "gate_up",
                                                                  "down",
                                                                  "head",
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
