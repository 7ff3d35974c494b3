#include "adapters/adalora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "adapters/derived_products.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

// A module that is pruned to rank 0 has all three without a number.
constexpr std::array kAdaloraNames = {PieceName{"lora_A", PartKind::a, 0, TensorValues::floats_or_none},
                                      PieceName{"lora_E", PartKind::a, 1, TensorValues::floats_or_none},
                                      PieceName{"lora_B", PartKind::b, 0, TensorValues::floats_or_none}};

using KeptRanks = std::unordered_map<std::string, std::int64_t>;  // by the path of the module

KeptRanks kept_ranks_of(const AdapterConfig& config) {
  KeptRanks kept;
  for (const auto& [name, count] : config.kept_ranks) kept[path_of(normalised_name("base_model.model." + name))] = count;
  return kept;
}

// E [rank, 1] and the sizes of A [rank, in] and B [out, rank].
Status measure_triplets(AdapterModule& module, std::int64_t expected_rank, std::span<const TensorInfo> tensors) {
  if (Status status = check_complete(module, kAdaloraNames, tensors); !status) return status;
  const TensorInfo& a = *find_tensor(module, PartKind::a, 0, tensors);
  const TensorInfo& e = *find_tensor(module, PartKind::a, 1, tensors);
  const TensorInfo& b = *find_tensor(module, PartKind::b, 0, tensors);
  for (const TensorInfo* tensor : {&a, &e, &b}) {
    if (tensor->bytes == 0 && tensor->shape.size() != 2) return refuse_empty(*tensor);
    if (Status status = check_dimensions(*tensor, 2); !status) return status;
  }
  module.rank = a.shape[0];
  module.in = a.shape[1];
  module.out = b.shape[0];
  if (module.in == 0) return refuse_empty(a);
  if (module.out == 0) return refuse_empty(b);
  if (e.shape != std::vector<std::int64_t>{module.rank, 1}) {
    return error("E_SHAPE", "tensor {}: expected [{}, 1], a number for each row of lora_A, found {}", quote(e.name), module.rank,
                 shape_of(e));
  }
  if (b.shape[1] != module.rank) {
    return error("E_RANK", "tensor {}: expected {} columns, the rank of lora_A {}, found {}", quote(b.name), module.rank, shape_of(a),
                 shape_of(b));
  }
  return check_config_rank(a, module.rank, expected_rank);
}

// PEFT divides by the rank before pruning, to which it adds a little.
Status take_scale(AdapterModule& module, const AdapterConfig& config) {
  const double numerator = config.lora_alpha > 0 ? config.lora_alpha : static_cast<double>(module.rank);
  const float divisor = static_cast<float>(config.init_r) + 1e-5f;
  return set_scale(module, static_cast<float>(numerator) / divisor);
}

Status finish_adalora(AdapterModules& found, AdapterModule& module, const KeptRanks& kept, const AdapterConfig& config,
                      std::span<const TensorInfo> tensors, const FamilyContext& context) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  const auto mask = kept.find(module.path);
  if (Status status = measure_triplets(module, mask != kept.end() ? mask->second : config.init_r, tensors); !status) return status;
  if (Status status = check_rank(module, context.rank_max); !status) return status;
  if (Status status = take_scale(module, config); !status) return status;
  if (module.rank == 0) {
    std::erase_if(module.parts, [](const AdapterPart& part) { return part.kind != PartKind::bias_replacing; });
  } else {
    const auto scaled =
        std::make_shared<ScaledRows>(*find_tensor(module, PartKind::a, 0, tensors), *find_tensor(module, PartKind::a, 1, tensors));
    std::ranges::find(module.parts, PartKind::a, &AdapterPart::kind)->source = found.derive(tensors.size(), scaled);
  }
  return measure_saved(module, tensors);
}

// Modules that a mask leaves some ranks of and the file has no tensors of.
std::vector<std::string_view> lost_modules(const std::vector<AdapterModule>& modules, const KeptRanks& kept) {
  std::unordered_set<std::string_view> present;
  for (const AdapterModule& module : modules) present.insert(module.path);
  std::vector<std::string_view> lost;
  for (const auto& [path, count] : kept) {
    if (count > 0 && !present.contains(path)) lost.push_back(path);
  }
  std::ranges::sort(lost);
  return lost;
}

}  // namespace

Result<AdapterModules> read_adalora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                            const FamilyContext& context) {
  const auto part_of = [](const NameSegments& segments, const TensorInfo& tensor) { return named_piece(segments, tensor, kAdaloraNames); };
  Result<TensorGroups> groups = group_tensors(config, tensors, part_of);
  if (!groups) return forward_error(groups);
  const KeptRanks kept = kept_ranks_of(config);
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status status = finish_adalora(found, module, kept, config, tensors, context); !status) return forward_error(status);
  }
  const auto is_pruned = [&](const AdapterModule& module) {
    return module.parts.empty() && find_tensor(module, PartKind::rows, kTrainedTokens, tensors) == nullptr;
  };
  if (std::ranges::all_of(groups->modules, is_pruned))
    return error("E_EMPTY", "all {} modules of the file are pruned to rank 0: the adapter changes nothing", groups->modules.size());
  if (const std::vector<std::string_view> lost = lost_modules(groups->modules, kept); !lost.empty()) {
    found.warnings.push_back(
        fmt::format("rank_pattern keeps ranks of {}, but the file holds no weights for it: the base is used there", shown_names(lost)));
  }
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace slora
