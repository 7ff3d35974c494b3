#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"

// The sizes of an accepted config can be multiplied without overflow checks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json) return 0;
  const Result<ModelConfig> config = parse_model_config(*json);
  if (!config) return 0;
  check(config->layer_count > 0 && config->window.size() == static_cast<std::size_t>(config->layer_count), "expected a window per layer");
  check(config->kv_head_count > 0 && config->head_count % config->kv_head_count == 0,
        "expected head_count to be a multiple of kv_head_count");
  check(config->head_dim > 0 && config->head_dim % 2 == 0, "expected an even head_dim");
  check(config->q_width() > 0 && config->q_width() + 2 * config->kv_width() > 0, "expected widths without overflow");
  check(config->rope.theta > 0 && config->rope.factor > 0, "expected a positive RoPE base and factor");
  const Result<GenerationConfig> generation = parse_generation_config(*json, *json, config->vocab_size);
  if (!generation) return 0;
  for (const TokenId id : generation->eos_token_ids) check(id >= 0 && id < config->vocab_size, "expected end tokens inside the vocabulary");
  return 0;
}
