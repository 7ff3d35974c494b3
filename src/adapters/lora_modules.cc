#include "adapters/lora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "adapters/dora_gain.h"
#include "adapters/foreign_form.h"
#include "adapters/tensor_names.h"
#include "base/check.h"
#include "formats/json.h"
#include "formats/stray_tensors.h"

namespace slora {
namespace {

constexpr std::string_view kMagnitude = "lora_magnitude_vector";

// The module and the part of it that a tensor's name means.
struct NamedPart {
  std::string path;
  PartKind kind;
};

// DoRA's magnitudes stand where the gain stands that is made of them.
std::optional<NamedPart> named_part(const NameSegments& segments) {
  struct Ending {
    std::array<std::string_view, 2> names;
    PartKind kind;
  };
  constexpr std::array kEndings = {Ending{{"lora_A", "weight"}, PartKind::a}, Ending{{"lora_B", "weight"}, PartKind::b},
                                   Ending{{"lora_B", "bias"}, PartKind::bias_added},
                                   Ending{{"base_layer", "bias"}, PartKind::bias_replacing}};
  std::span<const std::string_view> all(segments);
  if (all.size() < 2) return std::nullopt;
  if (all.size() > 2 && all.back() == "weight" && all[all.size() - 2] == kMagnitude) all = all.first(all.size() - 1);  // torchtune's
  if (all.back() == kMagnitude) return NamedPart{path_of(all.first(all.size() - 1)), PartKind::gain};
  for (const Ending& ending : kEndings) {
    if (all.size() > 2 && std::ranges::equal(all.last(2), ending.names)) return NamedPart{path_of(all.first(all.size() - 2)), ending.kind};
  }
  // As PEFT named it before 0.7, and still does for modules without A and B.
  if (all.back() == "bias" && !all[all.size() - 2].starts_with("lora_"))
    return NamedPart{path_of(all.first(all.size() - 1)), PartKind::bias_replacing};
  return std::nullopt;
}

// A description of a tensor that is known but not served; empty for any other.
std::string_view unserved_part(const NameSegments& segments, const AdapterConfig& config) {
  if (contains(segments, "lora_embedding_A") || contains(segments, "lora_embedding_B")) return "LoRA of the token embedding";
  if (contains(segments, "trainable_tokens_delta")) return "trained token rows";
  if (segments.size() < 2 || segments.back() != "weight") return {};
  const std::string_view module = segments[segments.size() - 2];
  if (module == "base_layer") return "a saved copy of the base's weight (save with save_embedding_layers=False to leave it out)";
  // PEFT saves every module whose path ends with a listed name: "norm" also selects "input_layernorm".
  const bool listed = std::ranges::any_of(config.modules_to_save, [&](const std::string& name) { return module.ends_with(name); });
  const bool is_embedding = module == "embed_tokens" || module == "lm_head";
  return listed || is_embedding ? "a weight that takes the place of the base's (modules_to_save)" : "";
}

// A buffer, which PEFT would ignore and nothing computes with. Unknown floats may be part of another kind of adapter.
bool is_stray(const TensorInfo& tensor) {
  const StrayTensor kind = stray_tensor(tensor.name, tensor.dtype);
  return kind == StrayTensor::derived || (kind == StrayTensor::unused && !is_float(tensor.dtype));
}

Status check_types(std::span<const TensorInfo> tensors) {
  constexpr std::string_view kHint = "DeepSpeed ZeRO-3 writes such files when the weights are not gathered before saving";
  if (tensors.empty()) return error("E_EMPTY", "the file holds no tensor; {}", kHint);
  for (const TensorInfo& tensor : tensors) {
    if (tensor.bytes == 0) return error("E_EMPTY", "tensor {}: expected numbers, found none; {}", quote(tensor.name), kHint);
  }
  for (const TensorInfo& tensor : tensors) {
    if (is_stray(tensor) || is_float(tensor.dtype)) continue;
    return error("E_DTYPE", "tensor {}: expected F32, F16, BF16 or F64, found {}", quote(tensor.name), name_of(tensor.dtype));
  }
  return {};
}

tl::unexpected<Error> refuse_unknown(const std::vector<std::string_view>& unknown) {
  for (const std::string_view name : unknown) {
    if (const std::string_view form = foreign_form_of_tensor(name); !form.empty())
      return error("E_FOREIGN", "tensor {} is of {}", quote(name), form);
  }
  const bool unprefixed = normalised_name(unknown.front()).empty();
  return error("E_UNKNOWN_TENSOR", "{} of the file's tensors fit no part of a LoRA adapter: {}{}", unknown.size(), shown_names(unknown),
               unprefixed ? "; PEFT's names begin with \"base_model.model.\"" : "");
}

// Assigns every tensor to its module. `strays`: the names of those that are left out.
Result<std::vector<AdapterModule>> grouped(std::vector<std::string_view>& strays, const AdapterConfig& config,
                                           std::span<const TensorInfo> tensors) {
  std::vector<AdapterModule> modules;
  std::unordered_map<std::string, std::size_t> index_of;
  std::vector<std::string_view> unknown;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    const NameSegments segments = normalised_name(name);
    if (const std::string_view part = unserved_part(segments, config); !part.empty()) {
      return error("E_UNSUPPORTED_OPTION", "tensor {} is {}: not served yet", quote(name), part);
    }
    std::optional<NamedPart> named = named_part(segments);
    if (!named) {
      (is_stray(tensors[i]) ? strays : unknown).push_back(name);
      continue;
    }
    const auto [at, is_new] = index_of.try_emplace(named->path, modules.size());
    if (is_new) modules.emplace_back().path = std::move(named->path);
    AdapterModule& module = modules[at->second];
    if (const AdapterPart* other = module.find(named->kind)) {
      return error("E_UNKNOWN_TENSOR", "tensors {} and {} fill the same part: expected the tensors of one adapter",
                   quote(tensors[other->source.value].name), quote(name));
    }
    module.parts.push_back({.kind = named->kind, .source = {i}, .slice = {}, .stored = {}});
  }
  if (!unknown.empty()) return refuse_unknown(unknown);
  return modules;
}

Status check_magnitude(const AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors) {
  const AdapterPart* const magnitude = module.find(PartKind::gain);
  if ((magnitude != nullptr) != config.use_dora) {
    return error("E_PAIR", "{}: expected {} {}, as use_dora is {}, found {}", quote(module.path), config.use_dora ? "a" : "no", kMagnitude,
                 config.use_dora, config.use_dora ? "none" : "one");
  }
  if (magnitude == nullptr) return {};
  if (config.lora_bias) {
    return error("E_UNSUPPORTED_OPTION", "{}: expected no lora_B.bias next to {}, as PEFT does not combine them", quote(module.path),
                 kMagnitude);
  }
  return check_vector(tensors[magnitude->source.value], module.out);
}

// Puts DoRA's gain in place of the magnitudes.
Status derive_gain(AdapterModules& modules, AdapterModule& module, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const auto magnitude = std::ranges::find(module.parts, PartKind::gain, &AdapterPart::kind);
  if (magnitude == module.parts.end() || context.modules == nullptr) return {};
  const ModuleEntry* const entry = context.modules->find(module.path);
  if (entry == nullptr) return {};  // is refused with all others that the base does not have
  if (context.weights == nullptr) {
    return error("E_UNSUPPORTED_OPTION", "{}: DoRA's norms are computed from the base's weights, and there are no files of them",
                 quote(module.path));
  }
  const auto tensor_of = [&](const AdapterPart* part) { return tensors[part->source.value]; };
  modules.derived.push_back(std::make_shared<DoraGain>(
      DoraTensors{tensor_of(&*magnitude), tensor_of(module.find(PartKind::a)), tensor_of(module.find(PartKind::b)), module.scale},
      context.weights, entry->stored_as + ".weight"));
  magnitude->source = {static_cast<std::uint32_t>(tensors.size() + modules.derived.size() - 1)};
  return {};
}

// Sizes and scale of one module's A and B.
Status measure_low_rank(AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                        const FamilyContext& context) {
  const AdapterPart* const part_a = module.find(PartKind::a);
  const AdapterPart* const part_b = module.find(PartKind::b);
  const AdapterPart* const bias = module.find(PartKind::bias_added);
  if (part_a == nullptr || part_b == nullptr) {
    const AdapterPart* const present = part_a != nullptr ? part_a : part_b != nullptr ? part_b : bias;
    return error("E_PAIR", "tensor {}: {} lacks {}", quote(tensors[present->source.value].name), quote(module.path),
                 part_a != nullptr   ? "lora_B"
                 : part_b != nullptr ? "lora_A"
                                     : "lora_A and lora_B");
  }
  const TensorInfo& a = tensors[part_a->source.value];
  const TensorInfo& b = tensors[part_b->source.value];
  for (const TensorInfo* tensor : {&a, &b}) {
    if (const Status status = check_dimensions(*tensor, 2); !status) return status;
  }
  if (a.shape[0] != b.shape[1]) {
    return error("E_RANK", "tensor {}: expected {} columns, the rank of lora_A {}, found {}", quote(b.name), a.shape[0], shape_of(a),
                 shape_of(b));
  }
  module.rank = a.shape[0];
  module.in = a.shape[1];
  module.out = b.shape[0];
  if (module.rank > context.rank_max)
    return error("E_RANK", "tensor {}: rank {} is over this server's limit of {}", quote(a.name), module.rank, context.rank_max);
  const Result<std::int64_t> rank = config.rank_of(module.path);
  if (!rank) return tl::unexpected(rank.error());
  if (*rank != module.rank) {
    return error("E_RANK", "tensor {}: expected rank {} by adapter_config.json, found {}", quote(a.name), *rank, shape_of(a));
  }
  const Result<double> scale = config.scale_of(module.path);
  if (!scale) return tl::unexpected(scale.error());
  module.scale = static_cast<float>(*scale);
  if (!std::isfinite(module.scale)) return error("E_SCALE", "{}: expected a finite scale, found {}", quote(module.path), *scale);
  if ((bias != nullptr) != config.lora_bias) {
    return error("E_PAIR", "{}: expected {} lora_B.bias, as lora_bias is {}, found {}", quote(module.path), config.lora_bias ? "a" : "no",
                 config.lora_bias, config.lora_bias ? "none" : "one");
  }
  return check_magnitude(module, config, tensors);
}

Status measure(AdapterModule& module, const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  const AdapterPart* const replacing = module.find(PartKind::bias_replacing);
  const bool has_only_bias = replacing != nullptr && module.parts.size() == 1;
  if (!has_only_bias) {
    if (Status status = measure_low_rank(module, config, tensors, context); !status) return status;
  } else {
    const TensorInfo& bias = tensors[replacing->source.value];
    if (Status status = check_dimensions(bias, 1); !status) return status;
    module.out = bias.shape[0];
  }
  for (const AdapterPart* bias : {module.find(PartKind::bias_added), replacing}) {
    if (bias == nullptr) continue;
    if (Status status = check_vector(tensors[bias->source.value], module.out); !status) return status;
  }
  return {};
}

bool is_named(std::string_view path, std::string_view target) {
  return path == target || (path.size() > target.size() && path.ends_with(target) && path[path.size() - target.size() - 1] == '.');
}

bool lists_targets(const AdapterConfig& config) {
  const std::vector<std::string>& targets = config.target_modules;
  const bool is_expression =
      targets.size() == 1 && (targets[0] == "all-linear" || targets[0].find_first_of("\\*+?|()[]^$") != std::string::npos);
  constexpr std::size_t kTargetsMax = 4096;  // each is compared with every module
  return !targets.empty() && targets.size() <= kTargetsMax && !is_expression;
}

// Names of target_modules, if it is a list, of which the file has no module.
std::vector<std::string> missing_targets(const std::vector<AdapterModule>& modules, const AdapterConfig& config) {
  std::vector<std::string> missing;
  if (!lists_targets(config)) return missing;
  for (const std::string& target : config.target_modules) {
    if (std::ranges::none_of(modules, [&](const AdapterModule& module) { return is_named(module.path, target); }))
      missing.push_back(target);
  }
  return missing;
}

// If target_modules is a list of names: last path components of the low-rank modules that it does not name, sorted.
std::set<std::string> untargeted(const std::vector<AdapterModule>& modules, const AdapterConfig& config) {
  const std::vector<std::string>& targets = config.target_modules;
  std::set<std::string> names;
  if (!lists_targets(config)) return names;
  for (const AdapterModule& module : modules) {
    const bool is_targeted = std::ranges::any_of(targets, [&](const std::string& target) { return is_named(module.path, target); });
    if (module.rank != 0 && !is_targeted) names.insert(module.path.substr(module.path.rfind('.') + 1));
  }
  return names;
}

std::vector<std::string> warnings_of(const std::vector<AdapterModule>& modules, const std::vector<std::string_view>& strays,
                                     const AdapterConfig& config) {
  std::vector<std::string> warnings = config.warnings;
  if (!strays.empty()) {
    warnings.push_back(fmt::format("left out {} tensors that nothing computes with: {}", strays.size(), shown_names(strays)));
  }
  if (const std::vector<std::string> missing = missing_targets(modules, config); !missing.empty()) {
    warnings.push_back(fmt::format(
        "target_modules names {}, but the file holds no weights for it: the base is used there, as in PEFT, which warns of missing keys",
        shown_names(missing)));
  }
  const bool stores_bias =
      std::ranges::any_of(modules, [](const AdapterModule& module) { return module.find(PartKind::bias_replacing) != nullptr; });
  if (config.bias == AdapterBias::lora_only && !stores_bias) {
    warnings.push_back(
        "bias is \"lora_only\" but the file holds no biases: PEFT 0.7 to 0.20 lost them when saving; served with the base's");
  }
  if (config.bias == AdapterBias::none && stores_bias) warnings.push_back("bias is \"none\" but the file holds biases: they are used");
  if (!config.modules_to_save.empty()) {
    warnings.push_back(
        fmt::format("modules_to_save names {}, but the file holds no such weights", fmt::join(config.modules_to_save, ", ")));
  }
  if (const std::set<std::string> names = untargeted(modules, config); !names.empty()) {
    warnings.push_back(
        fmt::format("the file holds weights for {}, which target_modules does not name: they are applied, PEFT leaves them out",
                    fmt::join(names, ", ")));
  }
  return warnings;
}

}  // namespace

Result<AdapterModules> read_lora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  if (Status status = check_types(tensors); !status) return forward_error(status);
  std::vector<std::string_view> strays;
  Result<std::vector<AdapterModule>> modules = grouped(strays, config, tensors);
  if (!modules) return forward_error(modules);
  if (modules->empty()) return error("E_EMPTY", "the file holds no part of a LoRA adapter, only {}", shown_names(strays));
  for (AdapterModule& module : *modules) {
    if (Status status = measure(module, config, tensors, context); !status) return forward_error(status);
  }
  AdapterModules found;
  found.warnings = warnings_of(*modules, strays, config);
  for (AdapterModule& module : *modules) {
    if (Status derived = derive_gain(found, module, tensors, context); !derived) return forward_error(derived);
  }
  found.modules = std::move(*modules);
  return found;
}

}  // namespace slora
