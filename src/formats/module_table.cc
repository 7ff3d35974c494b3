#include "formats/module_table.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "formats/model_tensors.h"

namespace slora {
namespace {

void add_product(ModuleTable& table, std::span<const TensorEntry> modules, std::span<const ShardShape> shards) {
  std::vector<std::int64_t> local_begin(shards.size(), 0);  // of the next module in each shard's fused product
  for (const TensorEntry& module : modules) {
    ModuleEntry entry{module.module,
                      module.site,
                      static_cast<std::int32_t>(module.slice_begin),
                      static_cast<std::int32_t>(module.columns),
                      static_cast<std::int32_t>(module.rows),
                      module.has_bias,
                      module.splits_input(),
                      {},
                      module.stored_as};
    for (std::size_t shard = 0; shard < shards.size(); ++shard) {
      const Slice out = module.output_slice(shards[shard]);
      // Shards that split the inputs have all outputs.
      const std::int64_t begin = module.splits_input() ? module.slice_begin + out.begin : local_begin[shard];
      entry.cuts.push_back({out, module.column_slice(shards[shard]), static_cast<std::int32_t>(begin)});
      local_begin[shard] += module.row_slice(shards[shard]).count;
    }
    table.modules.push_back(std::move(entry));
  }
}

std::optional<SiteKind> site_of(TensorRole role) {
  switch (role) {
    case TensorRole::attention_norm:
      return SiteKind::attention_norm;
    case TensorRole::query_norm:
      return SiteKind::query_norm;
    case TensorRole::key_norm:
      return SiteKind::key_norm;
    case TensorRole::attention_out_norm:
      return SiteKind::attention_out_norm;
    case TensorRole::mlp_norm:
      return SiteKind::mlp_norm;
    case TensorRole::mlp_out_norm:
      return SiteKind::mlp_out_norm;
    case TensorRole::output_norm:
      return SiteKind::output_norm;
    case TensorRole::embedding:
      return SiteKind::embedding;
    case TensorRole::product:
      return std::nullopt;
  }
  return std::nullopt;
}

void add_others(ModuleTable& table, const ModelTensors& tensors) {
  for (const TensorEntry& entry : tensors.entries) {
    const std::optional<SiteKind> kind = site_of(entry.role);
    if (!kind) continue;
    const auto rows = static_cast<std::int32_t>(entry.is_matrix() ? entry.rows : 1);
    const auto columns = static_cast<std::int32_t>(entry.is_matrix() ? entry.columns : entry.rows);
    table.others.push_back({entry.module, {entry.site.layer, *kind}, rows, columns, entry.stored_as});
  }
  if (!table.ties_embeddings) return;
  const TensorEntry& head = tensors.entries.front();
  table.others.push_back(
      {head.stored_as, kEmbeddingSite, static_cast<std::int32_t>(head.rows), static_cast<std::int32_t>(head.columns), head.stored_as});
}

}  // namespace

const OtherModule* ModuleTable::find_other(std::string_view path) const {
  const auto at = std::ranges::find(others, traits_of(family).tensors->canonical(path), &OtherModule::path);
  return at != others.end() ? &*at : nullptr;
}

const ModuleEntry* ModuleTable::find(std::string_view path) const {
  const std::string canonical = traits_of(family).tensors->canonical(path);
  const auto at =
      std::ranges::lower_bound(by_path, canonical, {}, [&](std::uint32_t index) -> const std::string& { return modules[index].path; });
  return at != by_path.end() && modules[*at].path == canonical ? &modules[*at] : nullptr;
}

ModuleTable make_module_table(const ModelConfig& config, std::span<const ShardShape> shards) {
  check(!shards.empty() && std::cmp_equal(shards.front().shard_count, shards.size()), "expected the shapes of all shards");
  ModuleTable table;
  table.hidden_size = config.hidden_size;
  table.vocab_size = config.vocab_size;
  table.layer_count = config.layer_count;
  table.family = config.family;
  table.head_count = config.head_count;
  table.kv_head_count = config.kv_head_count;
  table.expert_count = config.mixture.expert_count;
  table.experts_per_token = config.mixture.experts_per_token;
  table.ties_embeddings = config.tie_embeddings;
  table.rope = config.rope;
  table.has_window_rope = config.window_rope.has_value();
  table.max_position_embeddings = config.max_position_embeddings;
  table.shard_count = static_cast<std::int32_t>(shards.size());
  const ModelTensors tensors = make_model_tensors(config);
  const auto is_head = [](std::span<const TensorEntry> product) { return product.front().site == kHeadSite; };
  std::vector<std::span<const TensorEntry>> products = tensors.products();
  std::erase_if(products, [](std::span<const TensorEntry> product) { return product.front().role != TensorRole::product; });
  std::ranges::stable_partition(products, [&](const auto& product) { return !is_head(product); });
  for (const std::span<const TensorEntry> product : products) add_product(table, product, shards);
  table.by_path.resize(table.modules.size());
  std::iota(table.by_path.begin(), table.by_path.end(), 0);
  std::ranges::sort(table.by_path, {}, [&](std::uint32_t index) -> const std::string& { return table.modules[index].path; });
  add_others(table, tensors);
  return table;
}

ModuleTable make_module_table(const ModelConfig& config) {
  const ShardShape whole = whole_shape(config);
  return make_module_table(config, std::span(&whole, 1));
}

}  // namespace slora
