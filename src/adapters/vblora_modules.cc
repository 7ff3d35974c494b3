#include "adapters/vblora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/bank_matrix.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kBank = "vblora_vector_bank";
constexpr std::int64_t kVectorsPerTileMax = 64;  // PEFT's default is 2

constexpr std::uint8_t kWeightsPiece = 1;
// With one vector for each tile, the file's weights of all others are none.
constexpr std::array kVbloraNames = {PieceName{"vblora_logits_A", PartKind::a},
                                     PieceName{"vblora_logits_A_topk_indices", PartKind::a, 0, TensorValues::integers},
                                     PieceName{"vblora_logits_A_topk_weights", PartKind::a, kWeightsPiece, TensorValues::floats_or_none},
                                     PieceName{"vblora_logits_B", PartKind::b},
                                     PieceName{"vblora_logits_B_topk_indices", PartKind::b, 0, TensorValues::integers},
                                     PieceName{"vblora_logits_B_topk_weights", PartKind::b, kWeightsPiece, TensorValues::floats_or_none}};

std::optional<NamedPart> named_tiles(const NameSegments& segments, const TensorInfo& tensor) {
  if (name_of_shared(tensor.name) == kBank) return NamedPart{"", PartKind::a};
  return named_piece(segments, tensor, kVbloraNames);
}

// The bank, which belongs to no module. E_PAIR, E_SHAPE, E_INDEX.
Result<TensorInfo> take_bank(std::vector<AdapterModule>& modules, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  const auto at = std::ranges::find(modules, "", &AdapterModule::path);
  if (at == modules.end() || at->find(PartKind::a) == nullptr)
    return error("E_PAIR", "the file lacks \"base_model.{}\", of whose vectors A and B are made", kBank);
  const TensorInfo& bank = *find_tensor(*at, PartKind::a, 0, tensors);
  if (bank.shape != std::vector<std::int64_t>{config.vector_count, config.vector_length}) {
    return error("E_SHAPE", "tensor {}: expected [{}, {}] by num_vectors and vector_length, found {}", quote(bank.name),
                 config.vector_count, config.vector_length, shape_of(bank));
  }
  const std::int64_t count_max = std::min(kVectorsPerTileMax, config.vector_count);
  if (config.vectors_per_tile > count_max) {
    return error("E_INDEX", "\"topk\": expected at most {} of the bank's {} vectors for each tile, found {}", count_max,
                 config.vector_count, config.vectors_per_tile);
  }
  modules.erase(at);
  return bank;
}

Status check_tiles(const TensorInfo& tensor, const std::vector<std::int64_t>& expected) {
  if (tensor.shape == expected) return {};
  return error("E_SHAPE", "tensor {}: expected [{}], found {}", quote(tensor.name), fmt::join(expected, ", "), shape_of(tensor));
}

// What a module's A or B is made of. E_PAIR, E_SHAPE.
Result<TileTensors> tiles_of(const AdapterModule& module, PartKind kind, const TensorInfo& bank, const AdapterConfig& config,
                             std::span<const TensorInfo> tensors) {
  const std::string_view name = kind == PartKind::a ? "vblora_logits_A" : "vblora_logits_B";
  const TensorInfo* const first = find_tensor(module, kind, 0, tensors);
  const TensorInfo* const weights = find_tensor(module, kind, kWeightsPiece, tensors);
  if (first == nullptr) return error("E_PAIR", "{}: expected {} or {}_topk_indices, found neither", quote(module.path), name, name);
  if (Status status = check_dimensions(*first, 3); !status) return forward_error(status);
  const std::int64_t outer = first->shape[0], inner = first->shape[1], chosen = config.vectors_per_tile;
  TileTensors tiles{.bank = bank, .vectors_per_tile = chosen, .logits = {}, .indices = {}, .weights = {}};
  if (is_float(first->dtype)) {
    if (weights != nullptr)
      return error("E_PAIR", "tensor {}: expected no weights next to {}, found some", quote(weights->name), quote(first->name));
    tiles.logits = *first;
    if (Status status = check_tiles(*first, {outer, inner, bank.shape[0]}); !status) return forward_error(status);
    return tiles;
  }
  if (!config.saves_top_weights) {
    return error("E_PAIR", "tensor {}: expected {}, as save_only_topk_weights is false, found indices", quote(first->name), name);
  }
  if (weights == nullptr) return error("E_PAIR", "tensor {}: {} lacks {}_topk_weights", quote(first->name), quote(module.path), name);
  tiles.indices = *first;
  tiles.weights = *weights;
  if (Status status = check_tiles(*first, {outer, inner, chosen}); !status) return forward_error(status);
  if (Status status = check_tiles(*weights, {outer, inner, chosen - 1}); !status) return forward_error(status);
  return tiles;
}

// A width of the base, of so many tiles.
Result<std::int64_t> width_of(const TensorInfo& tensor, std::int64_t tile_count, std::int64_t length) {
  constexpr std::int64_t kWidthMax = std::numeric_limits<std::int32_t>::max();
  if (tile_count <= kWidthMax / length) return tile_count * length;
  return error("E_SHAPE", "tensor {}: expected at most {} tiles of {} numbers, found {}", quote(tensor.name), kWidthMax / length, length,
               shape_of(tensor));
}

Status finish_vblora(AdapterModules& found, AdapterModule& module, const TensorInfo& bank, const AdapterConfig& config,
                     std::span<const TensorInfo> tensors, const FamilyContext& context) {
  if (has_only_saved(module)) return measure_saved(module, tensors);
  Result<TileTensors> a = tiles_of(module, PartKind::a, bank, config, tensors);
  if (!a) return forward_error(a);
  Result<TileTensors> b = tiles_of(module, PartKind::b, bank, config, tensors);
  if (!b) return forward_error(b);
  const TensorInfo& of_a = *find_tensor(module, PartKind::a, 0, tensors);
  const TensorInfo& of_b = *find_tensor(module, PartKind::b, 0, tensors);
  module.rank = of_a.shape[0];
  if (of_b.shape[1] != module.rank) {
    return error("E_RANK", "tensor {}: expected a second dimension of {}, the rank of {}, found {}", quote(of_b.name), module.rank,
                 quote(of_a.name), shape_of(of_b));
  }
  if (Status status = check_config_rank(of_a, module.rank, config.r); !status) return status;
  if (Status status = check_rank(module, context.rank_max); !status) return status;
  const Result<std::int64_t> in = width_of(of_a, of_a.shape[1], bank.shape[1]), out = width_of(of_b, of_b.shape[0], bank.shape[1]);
  for (const Result<std::int64_t>* width : {&in, &out}) {
    if (!*width) return tl::unexpected(width->error());
  }
  module.in = *in;
  module.out = *out;
  for (AdapterPart& part : module.parts) {
    if (part.kind == PartKind::a)
      part.source = found.derive(tensors.size(), std::make_shared<BankMatrix>(std::move(*a), TileOrder::along_rows));
    if (part.kind == PartKind::b)
      part.source = found.derive(tensors.size(), std::make_shared<BankMatrix>(std::move(*b), TileOrder::along_columns));
  }
  return measure_saved(module, tensors);
}

}  // namespace

Result<AdapterModules> read_vblora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<TensorGroups> groups = group_tensors(config, tensors, named_tiles);
  if (!groups) return forward_error(groups);
  const Result<TensorInfo> bank = take_bank(groups->modules, config, tensors);
  if (!bank) return tl::unexpected(bank.error());
  if (std::ranges::all_of(groups->modules, has_only_saved))
    return error("E_EMPTY", "the file holds {}, but no module that uses it", quote(bank->name));
  AdapterModules found;
  found.warnings = warnings_of(*groups, config);
  for (AdapterModule& module : groups->modules) {
    if (Status status = finish_vblora(found, module, *bank, config, tensors, context); !status) return forward_error(status);
  }
  found.modules = std::move(groups->modules);
  return found;
}

}  // namespace slora
