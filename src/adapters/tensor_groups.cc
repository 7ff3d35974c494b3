#include "adapters/tensor_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <unordered_map>
#include <utility>

#include "adapters/foreign_form.h"
#include "adapters/target_modules.h"
#include "base/check.h"
#include "formats/json.h"
#include "formats/stray_tensors.h"

namespace slora {
namespace {

// A description of a tensor that is known but not served; empty for any other.
std::string_view unserved_part(const NameSegments& segments) {
  const auto is_present = [&](std::string_view segment) { return contains(segments, segment); };
  if (is_present("hira_embedding_A") || is_present("hira_embedding_B")) return "an adapter of the token embedding";
  if (is_present("hada_t1") || is_present("hada_t2")) return "LoHa of a convolution";
  return {};
}

constexpr std::string_view kEmptyHint = "DeepSpeed ZeRO-3 writes such files when the weights are not gathered before saving";

// Whether a tensor may have its type. Buffers that are left out may be integers.
bool has_type(const TensorInfo& tensor, const std::optional<NamedPart>& named) {
  if (!named) return is_float(tensor.dtype) || is_stray(tensor);
  switch (named->values) {
    case TensorValues::integers:
      return is_integer(tensor.dtype);
    case TensorValues::indices:
      return is_integer(tensor.dtype) || tensor.dtype == DType::f32;
    case TensorValues::floats:
    case TensorValues::floats_or_none:
      break;
  }
  return is_float(tensor.dtype);
}

std::string_view types_of(TensorValues values) {
  switch (values) {
    case TensorValues::integers:
      return "U8, I8, I16, I32 or I64";
    case TensorValues::indices:
      return "U8, I8, I16, I32, I64 or F32";
    case TensorValues::floats:
    case TensorValues::floats_or_none:
      break;
  }
  return "F32, F16, BF16 or F64";
}

// Where vocabularies have grown, PEFT also saves what it wraps a module of modules_to_save with: another copy of the weight that is saved
// under the module's name, and the weight before training.
bool is_further_copy(std::string_view name, const std::set<std::string_view>& names) {
  for (const std::string_view ending : {".modules_to_save.weight", ".original_module.weight"}) {
    if (name.ends_with(ending)) return names.contains(std::string(name.substr(0, name.size() - ending.size())) + ".weight");
  }
  return false;
}

// named [tensors]
Status check_types(std::span<const TensorInfo> tensors, std::span<const std::optional<NamedPart>> named) {
  if (tensors.empty()) return error("E_EMPTY", "the file holds no tensor; {}", kEmptyHint);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool may_be_empty = named[i] && named[i]->values == TensorValues::floats_or_none;
    if (tensors[i].bytes == 0 && !may_be_empty) return refuse_empty(tensors[i]);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (has_type(tensors[i], named[i])) continue;
    const TensorValues values = named[i] ? named[i]->values : TensorValues::floats;
    return error("E_DTYPE", "tensor {}: expected {}, found {}", quote(tensors[i].name), types_of(values), name_of(tensors[i].dtype));
  }
  return {};
}

std::string_view article_of(AdapterFamily family) {
  return family == AdapterFamily::adalora || family == AdapterFamily::ia3 || family == AdapterFamily::ln_tuning ? "an" : "a";
}

tl::unexpected<Error> refuse_unknown(const std::vector<std::string_view>& unknown, AdapterFamily family) {
  for (const std::string_view name : unknown) {
    if (const std::string_view form = foreign_form_of_tensor(name); !form.empty())
      return error("E_FOREIGN", "tensor {} is of {}", quote(name), form);
  }
  const bool unprefixed = normalised_name(unknown.front()).empty();
  return error("E_UNKNOWN_TENSOR", "{} of the file's tensors fit no part of {} {} adapter: {}{}", unknown.size(), article_of(family),
               name_of(family), shown_names(unknown), unprefixed ? "; PEFT's names begin with \"base_model.model.\"" : "");
}

// Paths of modules that an adapter changes and its config leaves out.
std::vector<std::string_view> untargeted(const std::vector<AdapterModule>& modules, const TargetModules& targets) {
  std::vector<std::string_view> paths;
  for (const AdapterModule& module : modules) {
    if (!has_only_saved(module) && targets.selects(module.path) == false) paths.push_back(module.path);
  }
  return paths;
}

}  // namespace

Result<TensorGroups> group_tensors(const AdapterConfig& config, std::span<const TensorInfo> tensors, const PartNamer& part_of) {
  std::vector<std::optional<NamedPart>> names;
  for (const TensorInfo& tensor : tensors) names.push_back(part_of(normalised_name(tensor.name), tensor));
  if (Status status = check_types(tensors, names); !status) return forward_error(status);
  TensorGroups groups;
  std::unordered_map<std::string, std::size_t> index_of;
  std::vector<std::string_view> unknown;
  std::set<std::string_view> all_names;
  for (const TensorInfo& tensor : tensors) all_names.insert(tensor.name);
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    if (const std::string_view part = unserved_part(normalised_name(name)); !part.empty()) {
      return error("E_UNSUPPORTED_OPTION", "tensor {} is {}, which is not served for its family", quote(name), part);
    }
    if (is_further_copy(name, all_names)) {
      groups.strays.push_back(name);
      continue;
    }
    std::optional<NamedPart>& named = names[i];
    if (!named) {
      (is_stray(tensors[i]) ? groups.strays : unknown).push_back(name);
      continue;
    }
    const auto [at, is_new] = index_of.try_emplace(named->path, groups.modules.size());
    if (is_new) groups.modules.emplace_back().path = std::move(named->path);
    AdapterModule& module = groups.modules[at->second];
    if (const TensorInfo* other = find_tensor(module, named->kind, named->piece, tensors)) {
      return error("E_UNKNOWN_TENSOR", "tensors {} and {} fill the same part: expected the tensors of one adapter", quote(other->name),
                   quote(name));
    }
    if (named->piece == 0) {
      module.parts.push_back({.kind = named->kind, .source = {i}, .slice = {}, .stored = {}});
    } else {
      module.pieces.push_back({named->kind, named->piece, {i}});
    }
    module.is_saved_weight = module.is_saved_weight || named->is_saved_weight;
    module.saves_gain = module.saves_gain || (named->is_saved_weight && named->kind == PartKind::gain);
    module.embedding_part_count += named->is_of_embedding ? 1 : 0;
  }
  if (!unknown.empty()) return refuse_unknown(unknown, config.family);
  if (groups.modules.empty()) {
    return error("E_EMPTY", "the file holds no part of {} {} adapter, only {}", article_of(config.family), name_of(config.family),
                 shown_names(groups.strays));
  }
  return groups;
}

bool is_stray(const TensorInfo& tensor) {
  const StrayTensor kind = stray_tensor(tensor.name, tensor.dtype);
  return kind == StrayTensor::derived || (kind == StrayTensor::unused && !is_float(tensor.dtype));
}

namespace {

// The stored bias that replaces the base's: "base_layer.bias", or "bias" as PEFT named it before 0.7 and still does for modules that an
// adapter does not change.
std::optional<NamedPart> named_bias(const NameSegments& segments) {
  std::span<const std::string_view> path(segments);
  if (path.size() < 2 || path.back() != "bias") return std::nullopt;
  path = path.first(path.size() - 1);
  if (path.back() == "base_layer") path = path.first(path.size() - 1);
  const bool has_module = !path.empty() && !is_of_adapter(path.back());
  return has_module ? std::optional(NamedPart{path_of(path), PartKind::bias_replacing}) : std::nullopt;
}

}  // namespace

std::optional<NamedPart> named_saved(const NameSegments& segments, const TensorInfo& tensor) {
  std::optional<NamedPart> weight = named_weight(segments, tensor);
  return weight ? weight : named_bias(segments);
}

std::optional<NamedPart> named_weight(const NameSegments& segments, const TensorInfo& tensor) {
  const std::span<const std::string_view> all(segments);
  if (all.size() < 2) return std::nullopt;
  const std::string_view end = all.back(), before = all[all.size() - 2];
  if (all.size() > 2 && before == "token_adapter" && end == "trainable_tokens_delta")
    return NamedPart{.path = path_of(all.first(all.size() - 2)), .kind = PartKind::rows, .is_saved_weight = true, .piece = kTrainedTokens};
  if (all.size() > 2 && before == "base_layer" && end == "weight") {
    const bool has_tokens = all.size() > 3 && all[all.size() - 3] == "token_adapter";
    return NamedPart{path_of(all.first(all.size() - (has_tokens ? 3 : 2))), PartKind::rows, true};
  }
  if (end != "weight" || is_of_adapter(before)) return std::nullopt;
  return NamedPart{path_of(all.first(all.size() - 1)), tensor.shape.size() == 1 ? PartKind::gain : PartKind::rows, true};
}

std::optional<std::string> module_before(const NameSegments& segments, std::string_view ending) {
  if (segments.size() < 2 || segments.back() != ending) return std::nullopt;
  return path_of(std::span(segments).first(segments.size() - 1));
}

std::optional<NamedPart> named_piece(const NameSegments& segments, const TensorInfo& tensor, std::span<const PieceName> names) {
  for (const PieceName& piece : names) {
    if (std::optional<std::string> path = module_before(segments, piece.name))
      return NamedPart{.path = std::move(*path), .kind = piece.kind, .piece = piece.piece, .values = piece.values};
  }
  return named_saved(segments, tensor);
}

const TensorInfo* find_tensor(const AdapterModule& module, PartKind kind, std::uint8_t piece, std::span<const TensorInfo> tensors) {
  if (piece == 0) {
    const AdapterPart* const part = module.find(kind);
    return part != nullptr ? &tensors[part->source.value] : nullptr;
  }
  const auto is_it = [&](const PartPiece& other) { return other.kind == kind && other.piece == piece; };
  const auto at = std::ranges::find_if(module.pieces, is_it);
  return at != module.pieces.end() ? &tensors[at->source.value] : nullptr;
}

Status check_complete(const AdapterModule& module, std::span<const PieceName> names, std::span<const TensorInfo> tensors) {
  const TensorInfo* present = nullptr;
  std::vector<std::string_view> missing;
  for (const PieceName& piece : names) {
    const TensorInfo* const tensor = find_tensor(module, piece.kind, piece.piece, tensors);
    if (tensor == nullptr) missing.push_back(piece.name);
    if (present == nullptr) present = tensor;
  }
  if (missing.empty()) return {};
  check(present != nullptr, "expected a module with a tensor of its family");
  return error("E_PAIR", "tensor {}: {} lacks {}", quote(present->name), quote(module.path), fmt::join(missing, " and "));
}

Status check_config_rank(const TensorInfo& tensor, std::int64_t found, std::int64_t expected) {
  if (found == expected) return {};
  return error("E_RANK", "tensor {}: expected rank {} by adapter_config.json, found {}", quote(tensor.name), expected, shape_of(tensor));
}

tl::unexpected<Error> refuse_empty(const TensorInfo& tensor) {
  return error("E_EMPTY", "tensor {}: expected numbers, found none; {}", quote(tensor.name), kEmptyHint);
}

bool has_only_saved(const AdapterModule& module) {
  constexpr std::array kReplacing = {PartKind::bias_replacing, PartKind::rows, PartKind::row_ids, PartKind::added_rows};
  const auto is_saved = [&](const AdapterPart& part) {
    return std::ranges::find(kReplacing, part.kind) != kReplacing.end() || (part.kind == PartKind::gain && module.saves_gain);
  };
  const auto is_of_rows = [](const PartPiece& piece) { return piece.kind == PartKind::rows; };
  return std::ranges::all_of(module.pieces, is_of_rows) && std::ranges::all_of(module.parts, is_saved);
}

Status measure_matrices(AdapterModule& module, std::string_view a_name, std::string_view b_name, std::span<const TensorInfo> tensors,
                        BlockCounts blocks) {
  const AdapterPart* const part_a = module.find(PartKind::a);
  const AdapterPart* const part_b = module.find(PartKind::b);
  if (part_a == nullptr || part_b == nullptr) {
    const AdapterPart& present = part_a != nullptr ? *part_a : part_b != nullptr ? *part_b : module.parts.front();
    const std::string missing = part_a != nullptr   ? std::string(b_name)
                                : part_b != nullptr ? std::string(a_name)
                                                    : fmt::format("{} and {}", a_name, b_name);
    return error("E_PAIR", "tensor {}: {} lacks {}", quote(tensors[present.source.value].name), quote(module.path), missing);
  }
  const TensorInfo& a = tensors[part_a->source.value];
  const TensorInfo& b = tensors[part_b->source.value];
  for (const TensorInfo* tensor : {&a, &b}) {
    if (const Status status = check_dimensions(*tensor, 2); !status) return status;
  }
  for (const auto& [tensor, count] : {std::pair(&a, blocks.a), std::pair(&b, blocks.b)}) {
    if (tensor->shape[0] % count != 0) {
      return error("E_SHAPE", "tensor {}: expected rows of {} equal blocks (nblocks), found {}", quote(tensor->name), count,
                   shape_of(*tensor));
    }
  }
  if (a.shape[0] % blocks.b != 0 || a.shape[0] / blocks.b != b.shape[1]) {
    return error("E_RANK", "tensor {}: expected {} columns{}, the rank of {} {}, found {}", quote(b.name), a.shape[0],
                 blocks.b > 1 ? fmt::format(" in {} blocks (nblocks)", blocks.b) : "", a_name, shape_of(a), shape_of(b));
  }
  module.rank = a.shape[0];
  module.in = a.shape[1] * blocks.a;
  module.out = b.shape[0];
  return {};
}

Status check_config_rank(const AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  const Result<std::int64_t> rank = config.rank_of(module.path);
  if (!rank) return tl::unexpected(rank.error());
  return check_config_rank(tensors[module.find(PartKind::a)->source.value], module.rank, *rank);
}

Status check_rank(const AdapterModule& module, std::int64_t rank_max, std::string_view more) {
  if (module.rank <= rank_max) return {};
  return error("E_RANK", "{}: rank {} is over this server's limit of {}{}", quote(module.path), module.rank, rank_max, more);
}

Status set_scale(AdapterModule& module, double scale) {
  module.scale = static_cast<float>(scale);
  if (std::isfinite(module.scale)) return {};
  return error("E_SCALE", "{}: expected a finite scale, found {}", quote(module.path), scale);
}

Status measure_saved(AdapterModule& module, std::span<const TensorInfo> tensors) {
  for (const std::uint8_t piece : {std::uint8_t{0}, kTrainedTokens}) {
    const TensorInfo* const rows = find_tensor(module, PartKind::rows, piece, tensors);
    if (rows == nullptr) continue;
    if (const Status status = check_dimensions(*rows, 2); !status) return status;
    if (module.in_of_rows != 0 && rows->shape[1] != module.in_of_rows)
      return error("E_SHAPE", "tensor {}: expected {} columns, found {}", quote(rows->name), module.in_of_rows, shape_of(*rows));
    if (module.row_count == 0) module.row_count = rows->shape[0];
    module.in_of_rows = rows->shape[1];
  }
  if (module.saves_gain) module.out = tensors[module.find(PartKind::gain)->source.value].shape[0];
  for (const PartKind kind : {PartKind::bias_added, PartKind::bias_replacing}) {
    const AdapterPart* const part = module.find(kind);
    if (part == nullptr) continue;
    const TensorInfo& bias = tensors[part->source.value];
    if (Status status = check_dimensions(bias, 1); !status) return status;
    if (module.out == 0) module.out = bias.shape[0];
    if (Status status = check_vector(bias, module.out); !status) return status;
  }
  return {};
}

std::vector<std::string> warnings_of(const TensorGroups& groups, const AdapterConfig& config) {
  std::vector<std::string> warnings = config.warnings;
  if (!groups.strays.empty()) {
    warnings.push_back(fmt::format("left out {} tensors that nothing computes with: {}", groups.strays.size(), shown_names(groups.strays)));
  }
  const TargetModules targets(config);
  std::vector<std::string_view> paths;
  for (const AdapterModule& module : groups.modules) paths.push_back(module.path);
  if (const std::vector<std::string> missing = targets.names_missing_in(paths); !missing.empty()) {
    warnings.push_back(fmt::format(
        "target_modules names {}, but the file holds no weights for it: the base is used there, as in PEFT, which warns of missing keys",
        shown_names(missing)));
  }
  const bool stores_bias =
      std::ranges::any_of(groups.modules, [](const AdapterModule& module) { return module.find(PartKind::bias_replacing) != nullptr; });
  if (config.bias == AdapterBias::lora_only && !stores_bias) {
    warnings.push_back(
        "bias is \"lora_only\" but the file holds no biases: PEFT 0.7 to 0.20 lost them when saving; served with the base's");
  }
  if (config.bias == AdapterBias::none && stores_bias) warnings.push_back("bias is \"none\" but the file holds biases: they are used");
  std::vector<std::string> not_saved = config.modules_to_save;
  std::erase_if(not_saved, [&](const std::string& name) {  // PEFT saves every module whose path ends with a listed name
    return std::ranges::any_of(groups.modules,
                               [&](const AdapterModule& module) { return module.is_saved_weight && module.path.ends_with(name); });
  });
  if (!not_saved.empty()) {
    warnings.push_back(fmt::format("modules_to_save names {}, but the file holds no such weights", fmt::join(not_saved, ", ")));
  }
  if (const std::vector<std::string_view> left_out = untargeted(groups.modules, targets); !left_out.empty()) {
    warnings.push_back(fmt::format(
        "the file holds weights for modules that target_modules, exclude_modules or layers_to_transform leave out: {}: they are applied, "
        "PEFT leaves them out",
        shown_names(left_out)));
  }
  return warnings;
}

}  // namespace slora
