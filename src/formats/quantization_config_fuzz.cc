#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/quantization_config.h"

// An accepted config has schemes whose sizes can be divided by, and names modules within bounds.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json || !json->is_object()) return 0;
  const Result<QuantizationConfig> config = parse_quantization_config(*json);
  if (!config) return 0;
  for (const WeightScheme& scheme : config->schemes) {
    check(scheme.bits == 4 || scheme.bits == 8, "expected codes of 4 or 8 bits");
    check(scheme.scale_rows >= 0 && scheme.scale_columns >= 0, "expected sizes of blocks");
    check(!scheme.description().empty(), "expected a description");
    (void)scheme.targets.match("model.layers.0.self_attn.q_proj");
  }
  (void)config->plain.match("lm_head");
  return 0;
}
