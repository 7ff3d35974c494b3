#include "adapters/lora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "adapters/block_diagonal.h"
#include "adapters/dora_embedding_gain.h"
#include "adapters/dora_gain.h"
#include "adapters/stacked_experts.h"
#include "adapters/subtracted_start.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kMagnitude = "lora_magnitude_vector";

// DoRA's magnitudes stand where the gain stands that is made of them.
std::optional<NamedPart> named_part(const NameSegments& segments, const TensorInfo& tensor) {
  struct Ending {
    std::array<std::string_view, 2> names;
    PartKind kind;
  };
  constexpr std::array kEndings = {Ending{{"lora_A", "weight"}, PartKind::a}, Ending{{"lora_B", "weight"}, PartKind::b},
                                   Ending{{"lora_B", "bias"}, PartKind::bias_added}};
  std::span<const std::string_view> all(segments);
  if (all.size() < 2) return std::nullopt;
  if (all.size() > 2 && all.back() == "weight" && all[all.size() - 2] == kMagnitude) all = all.first(all.size() - 1);  // torchtune's
  if (all.back() == kMagnitude) return NamedPart{path_of(all.first(all.size() - 1)), PartKind::gain};
  for (const Ending& ending : kEndings) {
    if (all.size() > 2 && std::ranges::equal(all.last(2), ending.names)) return NamedPart{path_of(all.first(all.size() - 2)), ending.kind};
  }
  if (const std::optional<std::string> path = module_before(segments, "lora_embedding_A"))
    return NamedPart{*path, PartKind::a, false, true};
  if (const std::optional<std::string> path = module_before(segments, "lora_embedding_B"))
    return NamedPart{*path, PartKind::b, false, true};
  return named_saved(segments, tensor);
}

Status check_magnitude(const AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  const AdapterPart* const magnitude = module.find(PartKind::gain);
  if (module.saves_gain)
    return error("E_SHAPE", "tensor {}: expected a weight of two dimensions, found {}", quote(tensors[magnitude->source.value].name),
                 shape_of(tensors[magnitude->source.value]));
  if ((magnitude != nullptr) != config.use_dora) {
    return error("E_PAIR", "{}: expected {} {}, as use_dora is {}, found {}", quote(module.path), config.use_dora ? "a" : "no", kMagnitude,
                 config.use_dora, config.use_dora ? "none" : "one");
  }
  if (magnitude == nullptr) return {};
  if (config.lora_bias) {
    return error("E_UNSUPPORTED_OPTION", "{}: expected no lora_B.bias next to {}, as PEFT does not combine them", quote(module.path),
                 kMagnitude);
  }
  return check_vector(tensors[magnitude->source.value], module.out);
}

// Makes LoRA of the unchanged base of a module whose training subtracted its start from the base's weight, and gives that start. Null where
// nothing was subtracted: PEFT does so at linear modules only.
Result<std::shared_ptr<const SubtractedStart>> add_start(AdapterModules& modules, AdapterModule& module, const AdapterConfig& config,
                                                         std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const bool is_linear = module.rank > 0 && module.embedding_part_count == 0;
  if (!config.subtracted_init || !is_linear || context.modules == nullptr) return nullptr;
  const ModuleEntry* const entry = context.modules->find(module.path);
  if (entry == nullptr || module.in != entry->in || module.out != entry->out) return nullptr;  // is refused with others that do not fit
  const std::string scheme = quote(config.init_lora_weights);
  if (config.diagonal_blocks)
    return error("E_BASE_MUTATED", "{}: expected no blocks (use_bdlora) of what {} starts with", quote(module.path), scheme);
  if (context.weights == nullptr) {
    return error("E_BASE_MUTATED", "{}: what {} subtracted is computed from the base's weights, and there are no files of them",
                 quote(module.path), scheme);
  }
  if (entry->site == kHeadSite && context.modules->ties_embeddings)
    return error("E_BASE_MUTATED", "{}: on a base with tied embeddings {} changed the embedding too", quote(module.path), scheme);
  if (module.rank > std::min(module.in, module.out)) {
    return error("E_RANK", "{}: expected at most rank {}, as {} has for [{}, {}], found {}", quote(module.path),
                 std::min(module.in, module.out), scheme, module.out, module.in, module.rank);
  }
  if (*config.subtracted_init == SubtractedInit::pissa && module.scale <= 0) {
    return error("E_SCALE", "{}: expected a scale above 0, by which {} divides singular values, found {}", quote(module.path), scheme,
                 module.scale);
  }
  const auto part_of = [&](PartKind kind) -> AdapterPart& { return *std::ranges::find(module.parts, kind, &AdapterPart::kind); };
  AdapterPart &a = part_of(PartKind::a), &b = part_of(PartKind::b);
  auto start = std::make_shared<const SubtractedStart>(*config.subtracted_init, tensors[a.source.value], tensors[b.source.value],
                                                       module.scale, context.weights, entry->stored_as + ".weight");
  a.source = modules.derive(tensors.size(), std::make_shared<RowsAndStart>(start));
  b.source = modules.derive(tensors.size(), std::make_shared<ColumnsAndStart>(start));
  module.rank *= 2;
  if (Status status = check_rank(module, context.rank_max, ", as its start takes as many ranks again"); !status)
    return forward_error(status);
  return start;
}

// Replaces magnitudes by DoRA's gain, which is made of them, and adds the start that training subtracted.
Status derive_parts(AdapterModules& modules, AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                    const FamilyContext& context) {
  const AdapterPart *const own_a = module.find(PartKind::a), *const own_b = module.find(PartKind::b);
  const TensorInfo* const a = own_a != nullptr ? &tensors[own_a->source.value] : nullptr;
  const TensorInfo* const b = own_b != nullptr ? &tensors[own_b->source.value] : nullptr;
  Result<std::shared_ptr<const SubtractedStart>> start = add_start(modules, module, config, tensors, context);
  if (!start) return forward_error(start);
  const auto magnitude = std::ranges::find(module.parts, PartKind::gain, &AdapterPart::kind);
  if (magnitude == module.parts.end() || module.saves_gain || context.modules == nullptr) return {};
  const ModuleEntry* const entry = context.modules->find(module.path);
  const OtherModule* const embedding = context.modules->find_other(module.path);
  if (entry == nullptr && embedding == nullptr) return {};  // is refused with all others that the base does not have
  if (context.weights == nullptr) {
    return error("E_UNSUPPORTED_OPTION", "{}: DoRA's norms are computed from the base's weights, and there are no files of them",
                 quote(module.path));
  }
  DoraTensors dora{tensors[magnitude->source.value], *a, *b, module.scale, *std::move(start)};
  std::shared_ptr<const DerivedTensor> gain;
  if (entry != nullptr) {
    gain = std::make_shared<DoraGain>(std::move(dora), context.weights, entry->stored_as + ".weight");
  } else {
    gain = std::make_shared<DoraEmbeddingGain>(std::move(dora), context.weights, embedding->stored_as + ".weight");
  }
  magnitude->source = modules.derive(tensors.size(), std::move(gain));
  return {};
}

// Puts the whole matrices in place of blocks. Requires: the module is measured.
Status derive_matrices(AdapterModules& modules, AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  if (module.rank == 0) return {};
  const Result<BlockCounts> blocks = config.blocks_of(module.path);
  if (!blocks) return tl::unexpected(blocks.error());
  for (AdapterPart& part : module.parts) {
    const std::int64_t count = part.kind == PartKind::a ? blocks->a : part.kind == PartKind::b ? blocks->b : 1;
    if (count > 1) part.source = modules.derive(tensors.size(), std::make_shared<BlockDiagonal>(tensors[part.source.value], count));
  }
  return {};
}

// Sizes and scale of one module's A and B.
Status measure_low_rank(AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                        const FamilyContext& context) {
  const Result<BlockCounts> blocks = config.blocks_of(module.path);
  if (!blocks) return tl::unexpected(blocks.error());
  if (config.diagonal_blocks && module.embedding_part_count > 0) {
    return error("E_UNSUPPORTED_OPTION", "\"use_bdlora\": expected only linear modules, as PEFT has no blocks of an embedding, found {}",
                 quote(module.path));
  }
  if (Status status = measure_matrices(module, "lora_A", "lora_B", tensors, *blocks); !status) return status;
  if (Status status = check_rank(module, context.rank_max); !status) return status;
  if (Status status = check_config_rank(module, config, tensors); !status) return status;
  const Result<double> scale = config.scale_of(module.path);
  if (!scale) return tl::unexpected(scale.error());
  if (Status status = set_scale(module, *scale); !status) return status;
  if ((module.find(PartKind::bias_added) != nullptr) != config.lora_bias) {
    return error("E_PAIR", "{}: expected {} lora_B.bias, as lora_bias is {}, found {}", quote(module.path), config.lora_bias ? "a" : "no",
                 config.lora_bias, config.lora_bias ? "none" : "one");
  }
  return check_magnitude(module, config, tensors);
}

Status measure(AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const auto has = [&](PartKind kind) { return module.find(kind) != nullptr; };
  const bool is_targeted = has(PartKind::a) || has(PartKind::b) || has(PartKind::bias_added);
  if (is_targeted || (has(PartKind::gain) && !module.saves_gain)) {
    if (Status status = measure_low_rank(module, config, tensors, context); !status) return status;
  }
  return measure_saved(module, tensors);
}

}  // namespace

Result<AdapterModules> read_lora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<TensorGroups> groups = group_tensors(config, tensors, named_part);
  if (!groups) return forward_error(groups);
  Result<std::vector<AdapterModule>> experts = take_stacked_experts(groups->modules, config, tensors, context);
  if (!experts) return forward_error(experts);
  for (AdapterModule& module : groups->modules) {
    if (Status status = measure(module, config, tensors, context); !status) return forward_error(status);
  }
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status derived = derive_parts(found, module, config, tensors, context); !derived) return forward_error(derived);
    if (Status derived = derive_matrices(found, module, config, tensors); !derived) return forward_error(derived);
  }
  found.modules = std::move(groups->modules);
  std::ranges::move(*experts, std::back_inserter(found.modules));
  return found;
}

}  // namespace slora
