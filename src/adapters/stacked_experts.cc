#include "adapters/stacked_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kExperts = ".experts", kInner = ".base_layer";
constexpr std::string_view kGateUp = "gate_up_proj", kDown = "down_proj";

// The experts' own path: "model.layers.1.mlp.experts"; empty for other modules.
std::string_view experts_of(std::string_view path) {
  if (path.ends_with(kInner)) path.remove_suffix(kInner.size());
  return path.ends_with(kExperts) ? path : std::string_view();
}

// What PEFT refuses to combine with parameters.
Status check_options(const AdapterConfig& config, const FamilyContext& context) {
  if (config.target_parameters.empty()) return {};
  if (context.modules != nullptr && context.modules->expert_count == 0) {
    return error("E_UNSUPPORTED_OPTION", "\"target_parameters\": expected none, as the base has no experts, found {}",
                 shown_names(config.target_parameters));
  }
  for (const auto& [name, is_set] :
       {std::pair("use_dora", config.use_dora), std::pair("lora_bias", config.lora_bias),
        std::pair("use_bdlora", config.diagonal_blocks.has_value()), std::pair("init_lora_weights", config.subtracted_init.has_value()),
        std::pair("alora_invocation_tokens", !config.invocation_tokens.empty())}) {
    if (is_set)
      return error("E_UNSUPPORTED_OPTION", "\"target_parameters\": expected no \"{}\" next to it, as PEFT does not combine them", name);
  }
  return {};
}

bool targets(const AdapterConfig& config, std::string_view parameter) {
  return std::ranges::any_of(config.target_parameters, [&](const std::string& name) { return name.ends_with(parameter); });
}

// Which of the experts' tensors a module is.
Result<std::string_view> parameter_of(const AdapterModule& module, bool has_inner, const AdapterConfig& config) {
  if (module.path.ends_with(kInner)) return kGateUp;
  const bool gate_up = targets(config, kGateUp), down = targets(config, kDown);
  if (has_inner || (down && !gate_up)) return kDown;
  if (gate_up && !down) return kGateUp;
  return error("E_PAIR", "{}: expected \"target_parameters\" to name {} or {}, or the file to have both, found {}", quote(module.path),
               kGateUp, kDown, config.target_parameters.empty() ? "none" : shown_names(config.target_parameters));
}

// The linear modules of the base's experts that `experts` names: as the base does, or as transformers 5 does, in the layer's "mlp".
std::vector<const ModuleEntry*> entries_of(const ModuleTable& base, std::string_view experts, SiteKind kind) {
  const std::string_view block = experts.substr(0, experts.size() - kExperts.size());  // "model.layers.1.mlp"
  std::vector<const ModuleEntry*> entries;
  for (const ModuleEntry& entry : base.modules) {
    if (entry.site.expert == 0 || entry.site.kind != kind) continue;
    const std::string_view own = std::string_view(entry.path).substr(0, entry.path.find(".experts."));
    const bool is_in_mlp = own.substr(0, own.rfind('.')) == block.substr(0, block.rfind('.')) && block.ends_with(".mlp");
    if (own == block || is_in_mlp) entries.push_back(&entry);
  }
  return entries;
}

// One for each of `entries`, of which the module has the parts of all.
Result<std::vector<AdapterModule>> split(const AdapterModule& module, std::span<const ModuleEntry* const> entries,
                                         std::int32_t expert_count, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const TensorInfo& a = tensors[module.find(PartKind::a)->source.value];
  const TensorInfo& b = tensors[module.find(PartKind::b)->source.value];
  std::int64_t out = 0;
  for (const ModuleEntry* entry : entries) out += entry->site.expert == 1 ? entry->out : 0;
  const std::int64_t ranks = module.rank * expert_count, in = entries.front()->in;
  for (const auto& [tensor, rows, columns] : {std::tuple(&a, ranks, in), std::tuple(&b, out, ranks)}) {
    if (tensor->shape == std::vector<std::int64_t>{rows, columns}) continue;
    return error("E_SHAPE", "tensor {}: expected [{}, {}], of {} experts with rank {}, found {}", quote(tensor->name), rows, columns,
                 expert_count, module.rank, shape_of(*tensor));
  }
  std::vector<AdapterModule> split;
  for (const ModuleEntry* entry : entries) {
    AdapterModule& own = split.emplace_back(module);
    own.path = entry->path;
    own.in = entry->in;
    own.out = entry->out;
    const std::int32_t expert = entry->site.expert - 1;
    for (AdapterPart& part : own.parts) {
      part.origin = part.kind == PartKind::a ? SourceOrigin{static_cast<std::int32_t>(expert * module.rank), 0, 1}
                                             : SourceOrigin{entry->slice_begin, expert, expert_count};
    }
    if (Status status = check_rank(own, context.rank_max); !status) return forward_error(status);
  }
  return split;
}

// Sizes and scale, by the parameter's path. Requires: A and B, and nothing else.
Status measure_stack(AdapterModule& module, const std::string& path, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  if (Status status = measure_matrices(module, "lora_A", "lora_B", tensors); !status) return status;
  const Result<std::int64_t> rank = config.rank_of(path);
  if (!rank) return tl::unexpected(rank.error());
  const Result<double> scale = config.scale_of(path);
  if (!scale) return tl::unexpected(scale.error());
  module.rank = *rank;
  return set_scale(module, *scale);
}

}  // namespace

Result<std::vector<AdapterModule>> take_stacked_experts(std::vector<AdapterModule>& modules, const AdapterConfig& config,
                                                        std::span<const TensorInfo> tensors, const FamilyContext& context) {
  if (Status status = check_options(config, context); !status) return forward_error(status);
  const auto is_stack = [](const AdapterModule& module) { return !experts_of(module.path).empty() && !has_only_saved(module); };
  const auto first = std::ranges::stable_partition(modules, [&](const AdapterModule& module) { return !is_stack(module); }).begin();
  std::vector<AdapterModule> stacks(std::make_move_iterator(first), std::make_move_iterator(modules.end()));
  modules.erase(first, modules.end());

  std::set<std::string> wrapped_twice;
  for (const AdapterModule& module : stacks) {
    if (module.path.ends_with(kInner)) wrapped_twice.emplace(experts_of(module.path));
  }
  std::vector<AdapterModule> taken;
  for (AdapterModule& module : stacks) {
    const std::string experts(experts_of(module.path));
    const Result<std::string_view> parameter = parameter_of(module, wrapped_twice.contains(experts), config);
    if (!parameter) return tl::unexpected(parameter.error());
    if (module.parts.size() != 2 || !module.pieces.empty())
      return error("E_PAIR", "{}: expected lora_A and lora_B and nothing else", quote(module.path));
    const std::string path = fmt::format("{}.{}", experts, *parameter);
    if (Status status = measure_stack(module, path, config, tensors); !status) return forward_error(status);
    if (context.modules == nullptr) {
      module.path = path;
      taken.push_back(std::move(module));
      continue;
    }
    const auto entries = entries_of(*context.modules, experts, *parameter == kDown ? SiteKind::down : SiteKind::gate_up);
    if (entries.empty()) return error("E_UNKNOWN_MODULE", "the base has no experts where the adapter has {}", quote(path));
    Result<std::vector<AdapterModule>> own = split(module, entries, context.modules->expert_count, tensors, context);
    if (!own) return own;
    std::ranges::move(*own, std::back_inserter(taken));
  }
  return taken;
}

}  // namespace slora
