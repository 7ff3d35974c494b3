#include "adapters/vera_modules.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "adapters/target_modules.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "adapters/vera_projection.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kLambdaB = "vera_lambda_b", kLambdaD = "vera_lambda_d";

std::optional<NamedPart> vera_part(const NameSegments& segments, const TensorInfo& tensor) {
  for (const auto& [shared, kind] : {std::pair("vera_A", PartKind::a), std::pair("vera_B", PartKind::b)}) {
    if (name_of_shared(tensor.name) == shared) return NamedPart{"", kind};
  }
  for (const auto& [ending, kind] : {std::pair(kLambdaB, PartKind::delta_gain), std::pair(kLambdaD, PartKind::rank_gain)}) {
    if (std::optional<std::string> path = module_before(segments, ending)) return NamedPart{std::move(*path), kind};
  }
  return named_saved(segments, tensor);
}

// Takes what belongs to all modules out of them.
AdapterModule take_shared(std::vector<AdapterModule>& modules) {
  const auto at = std::ranges::find(modules, "", &AdapterModule::path);
  if (at == modules.end()) return {};
  AdapterModule shared = std::move(*at);
  modules.erase(at);
  return shared;
}

Status measure(AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  const AdapterPart* const lambda_b = module.find(PartKind::delta_gain);
  const AdapterPart* const lambda_d = module.find(PartKind::rank_gain);
  if (lambda_b == nullptr || lambda_d == nullptr) {
    const AdapterPart& present = lambda_b != nullptr ? *lambda_b : *lambda_d;
    return error("E_PAIR", "tensor {}: {} lacks {}", quote(tensors[present.source.value].name), quote(module.path),
                 lambda_b != nullptr ? kLambdaD : kLambdaB);
  }
  const TensorInfo& b = tensors[lambda_b->source.value];
  const TensorInfo& d = tensors[lambda_d->source.value];
  for (const TensorInfo* tensor : {&b, &d}) {
    if (Status status = check_dimensions(*tensor, 1); !status) return status;
  }
  if (d.shape[0] != config.r) {
    return error("E_RANK", "tensor {}: expected [{}], the \"r\" of adapter_config.json, found {}", quote(d.name), config.r, shape_of(d));
  }
  module.rank = config.r;
  module.out = b.shape[0];
  return measure_saved(module, tensors);
}

// Inputs and outputs that A and B must have: the most of any module that the adapter has or that its config names.
ProjectionKey needed_projection(std::span<const AdapterModule> modules, const AdapterConfig& config, const ModuleTable& base) {
  ProjectionKey key{.rank = config.r, .in = 0, .out = 0, .seed = static_cast<std::uint32_t>(config.projection_key)};
  const TargetModules targets(config);
  for (const ModuleEntry& entry : base.modules) {
    const auto at = std::ranges::find(modules, entry.path, &AdapterModule::path);
    const bool is_changed = at != modules.end() && at->rank > 0;
    if (!is_changed && targets.selects(entry.path) != true) continue;
    key.in = std::max<std::int64_t>(key.in, entry.in);
    key.out = std::max<std::int64_t>(key.out, entry.out);
  }
  return key;
}

// Checks the stored A and B. Without a base, only that they have the ranks.
Status check_stored(const AdapterModule& shared, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                    std::span<const AdapterModule> modules, const ModuleTable* base) {
  const AdapterPart* const part_a = shared.find(PartKind::a);
  const AdapterPart* const part_b = shared.find(PartKind::b);
  if (part_a == nullptr || part_b == nullptr) {
    return error("E_PROJECTION", "expected {} in the file, as save_projection is true, found {}",
                 part_a != nullptr   ? "base_model.vera_B"
                 : part_b != nullptr ? "base_model.vera_A"
                                     : "base_model.vera_A and base_model.vera_B",
                 part_a == nullptr && part_b == nullptr ? "neither" : "none");
  }
  const TensorInfo& a = tensors[part_a->source.value];
  const TensorInfo& b = tensors[part_b->source.value];
  for (const TensorInfo* tensor : {&a, &b}) {
    if (Status status = check_dimensions(*tensor, 2); !status) return status;
  }
  if (a.shape[0] != config.r || b.shape[1] != config.r) {
    const bool is_a = a.shape[0] != config.r;
    return error("E_RANK", "tensor {}: expected {} {}, the \"r\" of adapter_config.json, found {}", quote(is_a ? a.name : b.name), config.r,
                 is_a ? "rows" : "columns", shape_of(is_a ? a : b));
  }
  if (base == nullptr) return {};
  for (const AdapterModule& module : modules) {
    const ModuleEntry* const entry = module.rank > 0 ? base->find(module.path) : nullptr;
    if (entry == nullptr) continue;
    if (a.shape[1] < entry->in) {
      return error("E_PROJECTION", "tensor {}: expected {} columns or more, the inputs of {}, found {}", quote(a.name), entry->in,
                   quote(module.path), shape_of(a));
    }
    if (b.shape[0] < entry->out) {
      return error("E_PROJECTION", "tensor {}: expected {} rows or more, the outputs of {}, found {}", quote(b.name), entry->out,
                   quote(module.path), shape_of(b));
    }
  }
  return {};
}

void add_matrices(AdapterModules& found, SourceTensor a, SourceTensor b) {
  for (AdapterModule& module : found.modules) {
    if (module.rank == 0) continue;
    module.parts.push_back({.kind = PartKind::a, .source = a, .slice = {}, .stored = {}, .is_shared = true});
    module.parts.push_back({.kind = PartKind::b, .source = b, .slice = {}, .stored = {}, .is_shared = true});
  }
}

// A and B drawn again.
void add_random_matrices(AdapterModules& found, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                         const FamilyContext& context) {
  if (context.modules == nullptr) return;
  const ProjectionKey key = needed_projection(found.modules, config, *context.modules);
  const std::shared_ptr<const VeraProjection> projection =
      context.projections != nullptr ? context.projections->find_or_make(key) : std::make_shared<const VeraProjection>(key);
  const SourceTensor a = found.derive(tensors.size(), std::make_shared<VeraMatrix>(projection, VeraMatrix::Which::a));
  const SourceTensor b = found.derive(tensors.size(), std::make_shared<VeraMatrix>(projection, VeraMatrix::Which::b));
  add_matrices(found, a, b);
}

}  // namespace

Result<AdapterModules> read_vera_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<TensorGroups> groups = group_tensors(config, tensors, vera_part);
  if (!groups) return forward_error(groups);
  const AdapterModule shared = take_shared(groups->modules);
  for (AdapterModule& module : groups->modules) {
    if (Status status = measure(module, config, tensors); !status) return forward_error(status);
    if (Status status = check_rank(module, context.rank_max); !status) return forward_error(status);
  }
  if (std::ranges::all_of(groups->modules, has_only_saved))
    return error("E_EMPTY", "the file holds no module with {} and {}", kLambdaB, kLambdaD);
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  found.modules = std::move(groups->modules);
  if (config.saves_projection) {
    if (Status status = check_stored(shared, config, tensors, found.modules, context.modules); !status) return forward_error(status);
    add_matrices(found, shared.find(PartKind::a)->source, shared.find(PartKind::b)->source);
    return found;
  }
  if (!shared.parts.empty()) {
    found.warnings.push_back("save_projection is false, but the file holds vera_A or vera_B: they are drawn from the key, as in PEFT");
  }
  add_random_matrices(found, config, tensors, context);
  return found;
}

}  // namespace slora
