#include "formats/model_tensors.h"

#include <fmt/format.h>

#include <algorithm>

namespace slora {
namespace {

TensorEntry entry_of(const ModelConfig& config, TensorRole role, Site site, std::string module, Extent rows, Extent columns) {
  return {.role = role,
          .site = site,
          .module = module,
          .stored_as = std::move(module),
          .row_extent = rows,
          .column_extent = columns,
          .rows = size_of(config, rows),
          .columns = size_of(config, columns)};
}

bool is_part(const ModelConfig& config, std::int32_t layer, LayerPart part) {
  return part == LayerPart::every_layer || config.has_mixture(layer) == (part != LayerPart::dense_mlp);
}

void add_layer(std::vector<TensorEntry>& entries, const ModelConfig& config, const FamilyTensors& family, std::int32_t layer) {
  const auto is_set = [&](bool ModelConfig::*flag, bool otherwise) { return flag == nullptr ? otherwise : config.*flag; };
  const auto add = [&](const LayerModule& module, std::int32_t expert) {
    // An expert's files count from 0, its sites from 1.
    const std::string name = expert > 0 ? fmt::format(fmt::runtime(module.name), expert - 1) : std::string(module.name);
    TensorEntry entry = entry_of(config, module.role, {layer, module.site, expert},
                                 fmt::format("{}.{}.{}", family.layer_prefix, layer, name), module.rows, module.columns);
    entry.has_bias = is_set(module.has_bias, false);
    const TensorEntry& before = entries.back();
    if (module.role == TensorRole::product && before.role == TensorRole::product && before.site == entry.site)
      entry.slice_begin = before.slice_begin + before.rows;
    entries.push_back(std::move(entry));
  };
  std::vector<LayerModule> of_experts;
  for (const LayerModule& module : family.layer) {
    if (!is_set(module.is_present, true) || !is_part(config, layer, module.part)) continue;
    if (module.part == LayerPart::each_expert) {
      of_experts.push_back(module);
    } else {
      add(module, 0);
    }
  }
  for (std::int32_t expert = 1; expert <= config.mixture.expert_count; ++expert) {
    for (const LayerModule& module : of_experts) add(module, expert);
  }
}

bool is_one_product(const TensorEntry& a, const TensorEntry& b) {
  return a.role == TensorRole::product && b.role == TensorRole::product && a.site == b.site;
}

}  // namespace

ModelTensors make_model_tensors(const ModelConfig& config) {
  const FamilyTensors& family = *traits_of(config.family).tensors;
  ModelTensors tensors;
  std::vector<TensorEntry>& entries = tensors.entries;
  entries.push_back(entry_of(config, TensorRole::product, kHeadSite, std::string(family.head), Extent::vocabulary, Extent::hidden));
  if (config.tie_embeddings) {
    entries.back().stored_as = family.embedding;
  } else {
    entries.push_back(entry_of(config, TensorRole::embedding, {}, std::string(family.embedding), Extent::vocabulary, Extent::hidden));
  }
  for (std::int32_t layer = 0; layer < config.layer_count; ++layer) add_layer(entries, config, family, layer);
  entries.push_back(entry_of(config, TensorRole::output_norm, {}, std::string(family.output_norm), Extent::hidden, Extent::one));
  return tensors;
}

std::vector<std::span<const TensorEntry>> ModelTensors::products() const {
  std::vector<std::span<const TensorEntry>> out;
  for (auto first = entries.begin(); first != entries.end();) {
    const auto last = std::find_if(first + 1, entries.end(), [&](const TensorEntry& entry) { return !is_one_product(*first, entry); });
    if (first->is_matrix()) out.emplace_back(first, last);
    first = last;
  }
  return out;
}

ProductShape product_shape(std::span<const TensorEntry> modules, const ShardShape& shape) {
  ProductShape product{0, modules.front().column_slice(shape).count};
  for (const TensorEntry& module : modules) product.out += module.row_slice(shape).count;
  return product;
}

}  // namespace slora
