#include "adapters/hira_modules.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "adapters/derived_vectors.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

// What a family calls the two matrices of a module.
struct MatrixNames {
  std::string_view a, b;
};

std::optional<NamedPart> matrix_part(const NameSegments& segments, const TensorInfo& tensor, const MatrixNames& names) {
  for (const auto& [ending, kind] : {std::pair(names.a, PartKind::a), std::pair(names.b, PartKind::b)}) {
    if (std::optional<std::string> path = module_before(segments, ending)) return NamedPart{std::move(*path), kind};
  }
  return named_weight(segments, tensor);
}

Status measure(AdapterModule& module, const MatrixNames& names, const AdapterConfig& config, std::span<const TensorInfo> tensors,
               const FamilyContext& context) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  if (Status status = measure_matrices(module, names.a, names.b, tensors); !status) return status;
  // PEFT 0.21 leaves HiRA's rank_pattern out. No scale depends on the rank: both that and the pattern's may be meant.
  const bool is_default_rank = config.family == AdapterFamily::hira && module.rank == config.r;
  if (Status status = is_default_rank ? Status() : check_config_rank(module, config, tensors); !status) return status;
  module.low_rank = LowRank::hadamard;
  if (context.modules == nullptr) return {};  // the limits are a server's
  return check_rank(module, std::min(context.rank_max, kHadamardRankMax),
                    " for adapters that multiply the base's weights, as each rank costs another product with them");
}

Result<AdapterModules> read_modules(const MatrixNames& names, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                    const FamilyContext& context) {
  const auto part_of = [&](const NameSegments& segments, const TensorInfo& tensor) { return matrix_part(segments, tensor, names); };
  Result<TensorGroups> groups = group_tensors(config, tensors, part_of);
  if (!groups) return forward_error(groups);
  for (AdapterModule& module : groups->modules) {
    if (Status status = measure(module, names, config, tensors, context); !status) return forward_error(status);
  }
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  found.modules = std::move(groups->modules);
  return found;
}

// The sum of one rank is a product with two gains.
void make_gains(AdapterModules& found, AdapterModule& module, float scale, std::span<const TensorInfo> tensors) {
  for (AdapterPart& part : module.parts) {
    if (part.kind == PartKind::a) {
      part.kind = PartKind::input_gain;
    } else {
      part.kind = PartKind::gain;
      part.source = found.derive(tensors.size(), std::make_shared<ScaledVector>(tensors[part.source.value], scale));
    }
  }
  module.low_rank = LowRank::sum;
  module.stored_rank = std::exchange(module.rank, 0);
}

}  // namespace

Result<AdapterModules> read_hira_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  return read_modules({"hira_A", "hira_B"}, config, tensors, context);
}

Result<AdapterModules> read_flora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const auto scale = static_cast<float>(config.flora_scale);
  if (!std::isfinite(scale)) return error("E_SCALE", "\"flora_scale\": expected a number that fp32 has, found {}", config.flora_scale);
  Result<AdapterModules> found = read_modules({"flora_A", "flora_B"}, config, tensors, context);
  if (!found) return found;
  for (AdapterModule& module : found->modules) {
    if (module.rank == 0) continue;
    if (module.rank == 1) {
      make_gains(*found, module, scale, tensors);
      continue;
    }
    const SourceTensor zeros = found->derive(tensors.size(), std::make_shared<ZeroVector>(module.path, module.in));
    module.parts.push_back({.kind = PartKind::input_gain, .source = zeros, .slice = {}, .stored = {}});
    module.scale = scale;
  }
  return found;
}

}  // namespace slora
