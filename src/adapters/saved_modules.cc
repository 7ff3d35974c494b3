#include "adapters/saved_modules.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kCopy = "ln_tuning_layers";
constexpr std::uint8_t kUnusedPiece = kTrainedTokens + 1;

// PEFT computes with the trained copy. Of an embedding it also saves the base's weight, with which it computes nothing then.
std::optional<NamedPart> ln_tuning_part(const NameSegments& segments, const TensorInfo& tensor) {
  const std::span<const std::string_view> all(segments);
  if (all.size() > 2) {
    const std::string_view wrapper = all[all.size() - 2], end = all.back();
    const std::string path = path_of(all.first(all.size() - 2));
    const bool is_vector = tensor.shape.size() == 1;
    if (wrapper == kCopy && end == "weight") return NamedPart{path, is_vector ? PartKind::gain : PartKind::rows, true};
    if (wrapper == kCopy && end == "bias") return NamedPart{path, PartKind::bias_replacing};
    if (wrapper == "base_layer" && end == "weight") return NamedPart{path, PartKind::rows, false, false, kUnusedPiece};
  }
  return named_saved(segments, tensor);
}

// Where vocabularies have grown, PEFT also saves the weight whose rows are trained.
std::optional<NamedPart> token_part(const NameSegments& segments, const TensorInfo& tensor) {
  if (std::optional<std::string> path = module_before(segments, "trainable_tokens_delta"))
    return NamedPart{.path = std::move(*path), .kind = PartKind::rows, .is_saved_weight = true, .piece = kTrainedTokens};
  const bool is_saved = segments.size() > 2 && segments[segments.size() - 2] == "base_layer";
  return is_saved ? named_weight(segments, tensor) : std::nullopt;
}

Result<AdapterModules> read_replacing(const AdapterConfig& config, std::span<const TensorInfo> tensors, const PartNamer& part_of) {
  Result<TensorGroups> groups = group_tensors(config, tensors, part_of);
  if (!groups) return forward_error(groups);
  for (AdapterModule& module : groups->modules) {
    if (const TensorInfo* unused = find_tensor(module, PartKind::rows, kUnusedPiece, tensors); unused != nullptr && module.parts.empty())
      return error("E_PAIR", "tensor {}: {} lacks {}", quote(unused->name), quote(module.path), kCopy);
    std::erase_if(module.pieces, [](const PartPiece& piece) { return piece.piece == kUnusedPiece; });
    if (Status status = measure_saved(module, tensors); !status) return forward_error(status);
  }
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace

Result<AdapterModules> read_ln_tuning_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  return read_replacing(config, tensors, ln_tuning_part);
}

Result<AdapterModules> read_trainable_tokens_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  return read_replacing(config, tensors, token_part);
}

}  // namespace slora
