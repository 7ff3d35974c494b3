#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/adapter_config.h"

// An accepted config yields a finite scale for every module, or an error, in bounded time.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json) return 0;
  const Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) return 0;
  for (const std::string_view path : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head"}) {
    const Result<std::int64_t> rank = config->rank_of(path);
    const Result<double> scale = config->scale_of(path);
    check(!rank || *rank >= 1, "expected a rank of at least 1");
    check(!scale || std::isfinite(*scale), "expected a finite scale");
  }
  return 0;
}
