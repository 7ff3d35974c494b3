#include "adapters/shira_modules.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/sparse_tensors.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::array kShiraNames = {PieceName{"shira_weight", PartKind::values},
                                    PieceName{"shira_indices", PartKind::columns, 0, TensorValues::indices}};

std::optional<NamedPart> shira_part(const NameSegments& segments, const TensorInfo& tensor) {
  for (const PieceName& name : kShiraNames) {
    if (std::optional<std::string> path = module_before(segments, name.name))
      return NamedPart{.path = std::move(*path), .kind = name.kind, .values = name.values};
  }
  return named_weight(segments, tensor);
}

// PEFT gives a module as many elements as LoRA of rank r has numbers, and takes no other count.
Status check_count(const TensorInfo& values, const ModuleEntry& entry, const AdapterConfig& config) {
  const std::int64_t per_rank = std::int64_t{entry.in} + entry.out;
  const std::int64_t count = values.shape[0];
  if (count > std::numeric_limits<std::int32_t>::max())
    return error("E_TOO_LARGE", "tensor {}: expected fewer than 2^31 numbers, found {}", quote(values.name), count);
  if (count > std::int64_t{entry.in} * entry.out) {
    return error("E_TOO_LARGE", "tensor {}: expected at most {} x {} numbers, those of the base's weight, found {}", quote(values.name),
                 entry.out, entry.in, count);
  }
  if (count % per_rank == 0 && count / per_rank == config.r) return {};
  return error("E_SHAPE", "tensor {}: expected [{} x {}] by r and the {} inputs and {} outputs of the base's module, found {}",
               quote(values.name), config.r, per_rank, entry.in, entry.out, shape_of(values));
}

Status finish_shira(AdapterModules& found, AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                    const FamilyContext& context) {
  const auto is_sparse = [](const AdapterPart& part) { return part.kind == PartKind::values || part.kind == PartKind::columns; };
  if (Status measured = measure_saved(module, tensors); !measured) return measured;
  if (module.is_saved_weight && std::ranges::none_of(module.parts, is_sparse)) return {};
  if (Status complete = check_complete(module, kShiraNames, tensors); !complete) return complete;
  const TensorInfo& values = *find_tensor(module, PartKind::values, 0, tensors);
  const TensorInfo& indices = *find_tensor(module, PartKind::columns, 0, tensors);
  if (Status vector = check_dimensions(values, 1); !vector) return vector;
  if (indices.shape != std::vector<std::int64_t>{2, values.shape[0]}) {
    return error("E_SHAPE", "tensor {}: expected [2, {}], as {} has {} numbers, found {}", quote(indices.name), values.shape[0],
                 quote(values.name), values.shape[0], shape_of(indices));
  }
  const ModuleEntry* const entry = context.modules != nullptr ? context.modules->find(module.path) : nullptr;
  if (entry == nullptr || context.file == nullptr) return {};  // what the base does not have is refused with all others
  if (Status count = check_count(values, *entry, config); !count) return count;
  const auto sparse = std::make_shared<const SparseTensors>(indices, values, *entry);
  Result<std::vector<ElementRange>> elements = elements_of_shards(*context.file, *sparse, context.gate);
  if (!elements) return forward_error(elements);
  module.shard_elements = *elements;
  module.element_count = sparse->count();
  const auto derive = [&](PartKind kind, std::shared_ptr<const DerivedTensor> tensor) {
    module.parts.push_back({.kind = kind, .source = found.derive(tensors.size(), std::move(tensor)), .slice = {}, .stored = {}});
  };
  std::erase_if(module.parts, is_sparse);
  derive(PartKind::row_counts, std::make_shared<SparseRowCounts>(sparse, std::move(*elements)));
  derive(PartKind::columns, std::make_shared<SparseColumns>(sparse));
  derive(PartKind::values, std::make_shared<SparseValues>(sparse));
  return {};
}

}  // namespace

Result<AdapterModules> read_shira_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<TensorGroups> groups = group_tensors(config, tensors, shira_part);
  if (!groups) return forward_error(groups);
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status finished = finish_shira(found, module, config, tensors, context); !finished) return forward_error(finished);
  }
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace slora
