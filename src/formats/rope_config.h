#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

enum class RopeKind : std::uint8_t { default_, linear, llama3, yarn, dynamic, longrope };

std::string_view name_of(RopeKind kind);

// The parameters of rotary position embeddings, with the reference implementation's defaults. Fields that a kind does not use keep
// their defaults.
struct RopeConfig {
  RopeKind kind = RopeKind::default_;
  double theta = 10000.0;
  double factor = 1.0;                     // all but default_
  double low_freq_factor = 1.0;            // llama3
  double high_freq_factor = 4.0;           // llama3
  double beta_fast = 32.0;                 // yarn
  double beta_slow = 1.0;                  // yarn
  bool truncate = true;                    // yarn: round the correction range to whole dimensions
  std::optional<double> attention_factor;  // yarn; computed from factor and the next two if absent
  std::optional<double> mscale;            // yarn; used only when both are set and not 0
  std::optional<double> mscale_all_dim;    // yarn
  std::int64_t original_max_position = 0;  // context length before the extension; up to it, dynamic equals default_
  std::vector<double> short_factors;       // longrope, of each frequency up to that length
  double rotary_share = 1.0;               // of a head: its first elements rotate

  [[nodiscard]] std::int32_t rotary_dim(std::int32_t head_dim) const { return static_cast<std::int32_t>(head_dim * rotary_share); }
  bool operator==(const RopeConfig&) const = default;
};

// What differs between families.
struct RopeRules {
  double theta_if_absent = 10000.0;
  std::int32_t longrope_head_dim = 0;  // above 0: longrope is served, of heads of this size, and heads may rotate in part
};

// Reads `rope_theta` + `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5) from a model's config.
// E_UNSUPPORTED_MODEL for unsupported kinds and keys. Keys that transformers leaves out with a warning are named in `warnings`.
Result<RopeConfig> parse_rope_config(std::vector<std::string>& warnings, const Json& config, std::int64_t max_position_embeddings,
                                     const RopeRules& rules = {});

}  // namespace slora
