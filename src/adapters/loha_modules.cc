#include "adapters/loha_modules.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "adapters/derived_products.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::int64_t kLohaRankMax = 8;  // which takes 64 ranks of LoRA

constexpr std::array kLohaNames = {PieceName{"hada_w1_a", PartKind::b, 0}, PieceName{"hada_w1_b", PartKind::a, 0},
                                   PieceName{"hada_w2_a", PartKind::b, 1}, PieceName{"hada_w2_b", PartKind::a, 1}};

Status check_equal_shapes(const TensorInfo& tensor, const TensorInfo& other) {
  if (tensor.shape == other.shape) return {};
  return error("E_SHAPE", "tensor {}: expected {}, the shape of {}, found {}", quote(other.name), shape_of(tensor), quote(tensor.name),
               shape_of(other));
}

struct LohaTensors {
  const TensorInfo &a1, &a2;  // [r, in]: hada_w1_b, hada_w2_b
  const TensorInfo &b1, &b2;  // [out, r]: hada_w1_a, hada_w2_a
};

// Sizes and scale of a module.
Status measure_loha(AdapterModule& module, const LohaTensors& loha, const AdapterConfig& config, const FamilyContext& context) {
  for (const TensorInfo* tensor : {&loha.a1, &loha.b1}) {
    if (Status status = check_dimensions(*tensor, 2); !status) return status;
  }
  const std::int64_t r = loha.a1.shape[0];
  if (loha.b1.shape[1] != r) {
    return error("E_RANK", "tensor {}: expected {} columns, the rank of hada_w1_b {}, found {}", quote(loha.b1.name), r, shape_of(loha.a1),
                 shape_of(loha.b1));
  }
  if (Status status = check_equal_shapes(loha.a1, loha.a2); !status) return status;
  if (Status status = check_equal_shapes(loha.b1, loha.b2); !status) return status;
  const Result<std::int64_t> rank = config.rank_of(module.path);
  if (!rank) return tl::unexpected(rank.error());
  if (Status status = check_config_rank(loha.a1, r, *rank); !status) return status;
  if (r > kLohaRankMax) {
    return error("E_RANK",
                 "tensor {}: LoHa of rank {} takes {} ranks of LoRA; expected at most {}, which take {}. PEFT's save_as_lora makes a LoRA "
                 "adapter of it that is close",
                 quote(loha.a1.name), r, r * r, kLohaRankMax, kLohaRankMax * kLohaRankMax);
  }
  module.rank = r * r;
  module.stored_rank = r;
  module.in = loha.a1.shape[1];
  module.out = loha.b1.shape[0];
  if (Status status = check_rank(module, context.rank_max); !status) return status;
  const Result<double> scale = config.scale_of(module.path);
  if (!scale) return tl::unexpected(scale.error());
  return set_scale(module, *scale);
}

Status finish_loha(AdapterModules& found, AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                   const FamilyContext& context) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  if (Status status = check_complete(module, kLohaNames, tensors); !status) return status;
  const LohaTensors loha{*find_tensor(module, PartKind::a, 0, tensors), *find_tensor(module, PartKind::a, 1, tensors),
                         *find_tensor(module, PartKind::b, 0, tensors), *find_tensor(module, PartKind::b, 1, tensors)};
  if (Status status = measure_loha(module, loha, config, context); !status) return status;
  for (AdapterPart& part : module.parts) {
    if (part.kind == PartKind::a) part.source = found.derive(tensors.size(), std::make_shared<RowProducts>(loha.a1, loha.a2));
    if (part.kind == PartKind::b) part.source = found.derive(tensors.size(), std::make_shared<ColumnProducts>(loha.b1, loha.b2));
  }
  return measure_saved(module, tensors);
}

}  // namespace

Result<AdapterModules> read_loha_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const auto part_of = [](const NameSegments& segments, const TensorInfo& tensor) { return named_piece(segments, tensor, kLohaNames); };
  Result<TensorGroups> groups = group_tensors(config, tensors, part_of);
  if (!groups) return forward_error(groups);
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status status = finish_loha(found, module, config, tensors, context); !status) return forward_error(status);
  }
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace slora
