#include "adapters/ia3_modules.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "adapters/derived_vectors.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

std::optional<NamedPart> vector_part(const NameSegments& segments, const TensorInfo& tensor) {
  std::optional<std::string> path = module_before(segments, "ia3_l");
  return path ? std::optional(NamedPart{std::move(*path), PartKind::gain}) : named_weight(segments, tensor);
}

// Whether the vector of a module multiplies its inputs. E_SHAPE when its shape is no such vector's.
Result<bool> scales_inputs(const AdapterModule& module, const TensorInfo& vector, const AdapterConfig& config) {
  if (Status status = check_dimensions(vector, 2); !status) return forward_error(status);
  const bool is_row = vector.shape[0] == 1, is_column = vector.shape[1] == 1;
  const Result<std::optional<bool>> listed = config.is_feedforward(module.path);
  if (!listed) return tl::unexpected(listed.error());
  if (!*listed && is_row != is_column) return is_row;
  if (!*listed) {
    return error("E_SHAPE", "tensor {}: expected [outputs, 1] or [1, inputs], found {}{}", quote(vector.name), shape_of(vector),
                 is_row ? ", and no feedforward_modules that tell which it is" : "");
  }
  if (**listed ? is_row : is_column) return **listed;
  return error("E_SHAPE", "tensor {}: expected {}, as feedforward_modules {} {}, found {}", quote(vector.name),
               **listed ? "[1, inputs]" : "[outputs, 1]", **listed ? "names" : "does not name", quote(module.path), shape_of(vector));
}

// The bias of the base is multiplied like the product.
Status add_bias(AdapterModules& found, AdapterModule& module, const TensorInfo& vector, std::span<const TensorInfo> tensors,
                const FamilyContext& context) {
  const ModuleEntry* const entry = context.modules != nullptr ? context.modules->find(module.path) : nullptr;
  if (entry == nullptr || !entry->has_bias) return {};
  if (context.weights == nullptr) {
    return error("E_UNSUPPORTED_OPTION", "{}: IA3 multiplies the base's bias, and there are no files of it", quote(module.path));
  }
  const SourceTensor bias = found.derive(tensors.size(), std::make_shared<ScaledBias>(vector, context.weights, entry->stored_as + ".bias"));
  module.parts.push_back({.kind = PartKind::bias_replacing, .source = bias, .slice = {}, .stored = {}});
  return {};
}

Status take_vector(AdapterModules& found, AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                   const FamilyContext& context) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  AdapterPart& part = *std::ranges::find(module.parts, PartKind::gain, &AdapterPart::kind);
  const TensorInfo& vector = tensors[part.source.value];
  const Result<bool> on_inputs = scales_inputs(module, vector, config);
  if (!on_inputs) return tl::unexpected(on_inputs.error());
  if (*on_inputs) {
    part.kind = PartKind::input_gain;
    module.in = vector.shape[1];
    return measure_saved(module, tensors);
  }
  module.out = vector.shape[0];
  part.source = found.derive(tensors.size(), std::make_shared<ScaledVector>(vector, 1.0f));
  if (Status status = measure_saved(module, tensors); !status) return status;
  return add_bias(found, module, vector, tensors, context);
}

}  // namespace

Result<AdapterModules> read_ia3_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<TensorGroups> groups = group_tensors(config, tensors, vector_part);
  if (!groups) return forward_error(groups);
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status status = take_vector(found, module, config, tensors, context); !status) return forward_error(status);
  }
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace slora
