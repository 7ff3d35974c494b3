#include "formats/module_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace slora {

const ModuleEntry* ModuleTable::find(std::string_view path) const {
  const auto at = std::find_if(modules.begin(), modules.end(), [&](const ModuleEntry& module) { return module.path == path; });
  return at != modules.end() ? &*at : nullptr;
}

ModuleTable make_module_table(const ModelConfig& config) {
  ModuleTable table;
  table.hidden_size = config.hidden_size;
  table.vocab_size = config.vocab_size;
  table.layer_count = config.layer_count;
  const std::int32_t hidden = config.hidden_size, ffn = config.intermediate_size, q = config.q_width(), kv = config.kv_width();
  for (std::int32_t layer = 0; layer < config.layer_count; ++layer) {
    const auto add = [&](std::string_view name, SiteKind kind, std::int32_t slice_begin, std::int32_t in, std::int32_t out, bool has_bias) {
      table.modules.push_back({fmt::format("model.layers.{}.{}", layer, name), {layer, kind}, slice_begin, in, out, has_bias});
    };
    add("self_attn.q_proj", SiteKind::qkv, 0, hidden, q, config.qkv_bias);
    add("self_attn.k_proj", SiteKind::qkv, q, hidden, kv, config.qkv_bias);
    add("self_attn.v_proj", SiteKind::qkv, q + kv, hidden, kv, config.qkv_bias);
    add("self_attn.o_proj", SiteKind::o, 0, q, hidden, config.o_bias);
    add("mlp.gate_proj", SiteKind::gate_up, 0, hidden, ffn, config.mlp_bias);
    add("mlp.up_proj", SiteKind::gate_up, ffn, hidden, ffn, config.mlp_bias);
    add("mlp.down_proj", SiteKind::down, 0, ffn, hidden, config.mlp_bias);
  }
  table.modules.push_back({"lm_head", {0, SiteKind::head}, 0, hidden, config.vocab_size, false});
  return table;
}

}  // namespace slora
