#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"

// A config that is accepted has sizes that the rest of the program may multiply without looking.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json) return 0;
  const Result<ModelConfig> config = parse_model_config(*json);
  if (!config) return 0;
  check(config->layer_count > 0 && config->window.size() == static_cast<std::size_t>(config->layer_count), "a window per layer");
  check(config->kv_head_count > 0 && config->head_count % config->kv_head_count == 0, "whole groups of heads");
  check(config->head_dim > 0 && config->head_dim % 2 == 0, "heads that can be rotated");
  check(config->q_width() > 0 && config->q_width() + 2 * config->kv_width() > 0, "widths that fit");
  check(config->rope.theta > 0 && config->rope.factor > 0, "a usable RoPE");
  const Result<GenerationConfig> generation = parse_generation_config(*json, *json, config->vocab_size);
  if (!generation) return 0;
  for (const TokenId id : generation->eos_token_ids) check(id >= 0 && id < config->vocab_size, "end tokens of the vocabulary");
  return 0;
}
