#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

enum class RopeKind : std::uint8_t { default_, linear, llama3, yarn, dynamic };

std::string_view name_of(RopeKind kind);

// How positions become angles, with the defaults of the reference implementation filled in. Fields that a kind does not use
// keep their defaults.
struct RopeConfig {
  RopeKind kind = RopeKind::default_;
  double theta = 10000.0;
  double factor = 1.0;                     // all but default_
  double low_freq_factor = 1.0;            // llama3
  double high_freq_factor = 4.0;           // llama3
  double beta_fast = 32.0;                 // yarn
  double beta_slow = 1.0;                  // yarn
  bool truncate = true;                    // yarn: round the correction range to whole dimensions
  std::optional<double> attention_factor;  // yarn; else from factor and the two that follow
  std::optional<double> mscale;            // yarn; used only when both are set and not 0
  std::optional<double> mscale_all_dim;    // yarn
  std::int64_t original_max_position = 0;  // length before an extension; up to here dynamic equals default_
};

// Reads `rope_theta` + `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5) from a model's config.
// E_UNSUPPORTED_MODEL for kinds and keys that are not served.
Result<RopeConfig> parse_rope_config(const Json& config, std::int64_t max_position_embeddings);

}  // namespace slora
