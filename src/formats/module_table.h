#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/model_config.h"
#include "ops/site.h"

namespace slora {

// A linear module of the base by its name in checkpoints, and where its output lies in the fused product of its site.
struct ModuleEntry {
  std::string path;  // "model.layers.0.self_attn.q_proj"
  Site site;
  std::int32_t slice_begin = 0;  // first of its `out` columns in the site's output
  std::int32_t in = 0;
  std::int32_t out = 0;
  bool has_bias = false;
};

// Every linear module of a model, layer after layer, lm_head last.
struct ModuleTable {
  std::vector<ModuleEntry> modules;
  std::int32_t hidden_size = 0;
  std::int32_t vocab_size = 0;
  std::int32_t layer_count = 0;

  // The module of this path, or nullptr.
  [[nodiscard]] const ModuleEntry* find(std::string_view path) const;
};

ModuleTable make_module_table(const ModelConfig& config);

}  // namespace slora
