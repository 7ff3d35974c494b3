#include "adapters/torch_adapter.h"

#include <array>
#include <cmath>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/torchtune_adapter.h"
#include "formats/adapter_config.h"
#include "formats/torch_file.h"

namespace slora {
namespace {

Result<std::vector<ReadableTensor>> read_weights(const Folder& folder) {
  if (folder.exists(kPeftWeights)) {  // of a LongLoRA whose LoRA was saved again
    Result<SafetensorsFile> file = SafetensorsFile::open(folder.open_file(kPeftWeights));
    if (!file) return forward_error(file);
    return readable_tensors(std::make_shared<const SafetensorsFile>(std::move(*file)));
  }
  for (const std::string_view name : {"adapter_model.bin", "adapter_model.pt", "adapter_0.pt"}) {
    if (!folder.exists(name)) continue;
    Result<ReadOnlyFile> file = folder.open_file(name);
    if (!file) return forward_error(file);
    return read_torch_file(std::move(*file));
  }
  return error("E_PICKLE", "expected adapter_model.bin next to {}, found none", kLongLoraWeights);
}

// LongLoRA saves what it trains besides LoRA under the base's own names.
Status add_long_lora_weights(std::vector<ReadableTensor>& tensors, const Folder& folder) {
  Result<ReadOnlyFile> file = folder.open_file(kLongLoraWeights);
  if (!file) return forward_error(file);
  Result<std::vector<ReadableTensor>> others = read_torch_file(std::move(*file));
  if (!others) return forward_error(others);
  for (ReadableTensor& tensor : *others) {
    if (!tensor.info.name.starts_with("base_model.")) tensor.info.name.insert(0, "base_model.model.");
  }
  std::ranges::move(*others, std::back_inserter(tensors));
  return {};
}

Result<std::optional<double>> linear_factor_of_config(const Folder& folder) {
  if (!folder.exists("config.json")) return std::nullopt;
  const Result<Json> config = read_json_file(folder, "config.json");
  if (!config) return tl::unexpected(config.error());
  const Json* scaling = config->is_object() ? find_member(*config, "rope_scaling") : nullptr;
  if (config->is_object() && (scaling == nullptr || scaling->is_null())) scaling = find_member(*config, "rope_parameters");
  if (scaling == nullptr || !scaling->is_object()) return std::nullopt;
  for (const std::string_view key : {"rope_type", "type"}) {
    const Json* const type = find_member(*scaling, key);
    if (type != nullptr && *type == "linear") return optional_number_at(*scaling, "factor");
  }
  return std::nullopt;
}

Status add_rope_factor(Json& config, double factor) {
  if (!(factor >= 1 && factor <= kRopeFactorMax))
    return error("E_ROPE", "expected a factor of positions from 1 to {}, found {}", kRopeFactorMax, factor);
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
  return {};
}

// A config.json has the factor of the whole, in which the base may have one of its own.
Status convert_long_lora(PeftForm& form, Json& config, const Folder& folder, std::optional<double> rope_factor, const ModuleTable* base) {
  if (Status added = add_long_lora_weights(form.tensors, folder); !added) return added;
  if (find_member(config, "modules_to_save") == nullptr) config["modules_to_save"] = {"embed_tokens", "norm"};
  if (rope_factor) return {};
  const Result<std::optional<double>> factor = linear_factor_of_config(folder);
  if (!factor) return tl::unexpected(factor.error());
  if (*factor && base != nullptr)
    return add_rope_factor(config, **factor / (base->rope.kind == RopeKind::linear ? base->rope.factor : 1.0));
  if (*factor) {
    return error("E_ROPE",
                 "config.json has the factor {}, with the base's own in it: give the base with --model, or the factor with "
                 "--rope-factor",
                 **factor);
  }
  return error("E_ROPE",
               "{} is of LongLoRA, which scales positions by a factor that its files do not have: give it with --rope-factor, the context "
               "that it was trained for divided by the base's",
               kLongLoraWeights);
}

}  // namespace

Result<PeftForm> read_torch_adapter(const Folder& folder, std::optional<double> rope_factor, const ModuleTable* base) {
  Result<Json> config = read_adapter_config_json(folder);
  if (!config) return forward_error(config);
  if (!config->is_object()) return error("E_BAD_JSON", "adapter_config.json: expected an object, found {}", type_name(*config));
  Result<std::vector<ReadableTensor>> tensors = read_weights(folder);
  if (!tensors) return forward_error(tensors);
  if (rope_factor) {
    if (Status added = add_rope_factor(*config, *rope_factor); !added) return forward_error(added);
  }
  if (is_torchtune_adapter(*tensors)) return convert_torchtune_adapter(std::move(*tensors), std::move(*config), base);
  PeftForm form;
  form.tensors = std::move(*tensors);
  if (folder.exists(kLongLoraWeights)) {
    if (Status converted = convert_long_lora(form, *config, folder, rope_factor, base); !converted) return forward_error(converted);
  }
  form.config = text_of_config(*config);
  return form;
}

}  // namespace slora
