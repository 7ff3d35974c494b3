#include "adapters/mlx_adapter.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {
namespace {

struct MlxConfig {
  std::int64_t rank = 0;
  double scale = 0;  // the whole factor of B A
  bool is_dora = false;
  std::string model;
};

Status take_kind(MlxConfig& out, const Json& config) {
  Result<std::optional<std::string>> type = optional_string_at(config, "fine_tune_type");
  if (!type) return forward_error(type);
  const Result<std::optional<bool>> use_dora = optional_bool_at(config, "use_dora");  // before there was fine_tune_type
  if (!use_dora) return tl::unexpected(use_dora.error());
  const std::string kind = type->value_or("lora");
  if (kind != "lora" && kind != "dora") {
    return error("E_UNSUPPORTED_OPTION",
                 "\"fine_tune_type\": expected lora or dora, found {}: weights that are trained in full are no adapter", quote(kind));
  }
  out.is_dora = kind == "dora" || use_dora->value_or(false);
  return {};
}

Status take_parameters(MlxConfig& out, const Json& config) {
  const Json* const parameters = find_member(config, "lora_parameters");
  if (parameters == nullptr || !parameters->is_object())
    return error("E_FOREIGN", "expected a config of mlx-lm next to adapters.safetensors, found none with \"lora_parameters\"");
  const Result<std::int64_t> rank = integer_at(*parameters, "rank");
  if (!rank) return tl::unexpected(rank.error());
  if (*rank < 1) return error("E_RANK", "\"rank\": expected at least 1, found {}", *rank);
  const Result<std::optional<double>> scale = optional_number_at(*parameters, "scale"), alpha = optional_number_at(*parameters, "alpha");
  if (!scale) return tl::unexpected(scale.error());
  if (!alpha) return tl::unexpected(alpha.error());
  if (!*scale) return error("E_SCALE", "\"scale\": expected a number, found nothing");
  out.rank = *rank;
  out.scale = **scale;
  if (!*alpha || **alpha == static_cast<double>(*rank)) return {};
  return error(
      "E_SCALE",
      "\"alpha\": expected nothing, found {}: versions of mlx-lm that have it multiply the scale by alpha / rank, and others do not; "
      "take it out, with \"scale\" as the whole factor",
      **alpha);
}

Result<MlxConfig> read_config(const Folder& folder) {
  const Result<Json> config = read_adapter_config_json(folder);
  if (!config) return tl::unexpected(config.error());
  MlxConfig out;
  Status taken = config->is_object() ? Status() : error("E_BAD_JSON", "expected an object, found {}", type_name(*config));
  if (taken) taken = take_kind(out, *config);
  if (taken) taken = take_parameters(out, *config);
  if (!taken) return error(taken.error().code, "adapter_config.json: {}", taken.error().message);
  if (const Result<std::optional<std::string>> model = optional_string_at(*config, "model")) out.model = model->value_or("");
  return out;
}

// Of one tensor: the path of its module, with the tensor renamed and turned.
Result<std::string> convert_tensor(ReadableTensor& tensor) {
  const std::string name = tensor.info.name;
  const std::size_t dot = name.rfind('.');
  const std::string ending = dot == std::string::npos ? "" : name.substr(dot + 1);
  const std::string path = name.substr(0, ending.empty() ? 0 : dot);
  const bool is_matrix = (ending == "lora_a" || ending == "lora_b") && tensor.info.shape.size() == 2;
  const bool is_magnitude = ending == "m" && tensor.info.shape.size() == 1;
  if (path.empty() || (!is_matrix && !is_magnitude)) return refuse_tensor_of("mlx-lm", tensor);
  if (path.ends_with("embed_tokens")) {
    return error("E_UNSUPPORTED_OPTION",
                 "tensor {}: LoRA of the embedding is not served in mlx-lm's form, where it may change the head of the model too",
                 quote(name));
  }
  if (is_matrix) tensor = transposed(std::move(tensor));
  rename_tensor(tensor, path, ending == "lora_a" ? "lora_A.weight" : ending == "lora_b" ? "lora_B.weight" : "lora_magnitude_vector");
  return path;
}

}  // namespace

Result<PeftForm> read_mlx_adapter(const Folder& folder) {
  const Result<MlxConfig> config = read_config(folder);
  if (!config) return tl::unexpected(config.error());
  Result<SafetensorsFile> file = SafetensorsFile::open(folder.open_file("adapters.safetensors"));
  if (!file) return forward_error(file);
  PeftForm form;
  form.tensors = readable_tensors(std::make_shared<const SafetensorsFile>(std::move(*file)));
  std::vector<std::string> paths;
  for (ReadableTensor& tensor : form.tensors) {
    Result<std::string> path = convert_tensor(tensor);
    if (!path) return forward_error(path);
    paths.push_back(std::move(*path));
  }
  Json peft = lora_config(config->model);
  peft["r"] = config->rank;
  peft["lora_alpha"] = config->scale * static_cast<double>(config->rank);  // divided by the rank again in use
  peft["use_dora"] = config->is_dora;
  peft["target_modules"] = module_list(std::move(paths));
  form.config = text_of_config(peft);
  return form;
}

}  // namespace slora
