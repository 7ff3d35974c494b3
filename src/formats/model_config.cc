#include "formats/model_config.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/gguf_model.h"
#include "formats/model_config_keys.h"

namespace slora {
namespace {

constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;

Result<Family> family_of(const Json& config) {
  Result<std::string> model_type = string_at(config, "model_type");
  if (!model_type) return forward_error(model_type);
  if (const std::optional<Family> family = find_family(*model_type)) return *family;
  return error("E_UNSUPPORTED_MODEL", "\"model_type\": expected {}, found {}", served_model_types(), quote(*model_type));
}

bool equals_in_any_case(std::string_view a, std::string_view b) {
  const auto lower = [](unsigned char c) { return std::tolower(c); };
  return std::ranges::equal(a, b,
                            [&](char x, char y) { return lower(static_cast<unsigned char>(x)) == lower(static_cast<unsigned char>(y)); });
}

// transformers goes by model_type alone. Here the name may be written otherwise ("LLaMAForCausalLM"), or be that of the model without its
// head ("LlamaModel"), but a class with another head or of a repository's own code is another function.
Status check_architecture(const Json& config, Family family) {
  Result<std::optional<std::vector<std::string>>> names = optional_strings_at(config, "architectures");
  if (!names) return forward_error(names);
  const std::string_view expected = traits_of(family).architecture;
  const std::string headless = fmt::format("{}Model", expected.substr(0, expected.find("For")));
  const auto is_served = [&](std::string_view name) { return equals_in_any_case(name, expected) || equals_in_any_case(name, headless); };
  if (!*names || (*names)->empty() || std::ranges::any_of(**names, is_served)) return {};
  return error("E_UNSUPPORTED_MODEL", "\"architectures\": expected {}, found {}", expected, shown(*find_member(config, "architectures")));
}

// A size from 1 to `most`; `fallback` if the key is absent or null, or an error if there is no fallback.
Result<std::int32_t> size_at(const Json& config, std::string_view key, std::int32_t most,
                             std::optional<std::int64_t> fallback = std::nullopt) {
  Result<std::optional<std::int64_t>> size = optional_integer_at(config, key);
  if (!size) return forward_error(size);
  if (!*size) *size = fallback;
  if (!*size) return error("E_MODEL_CONFIG", "\"{}\": expected an integer, found nothing", key);
  if (**size < 1 || **size > most) return error("E_MODEL_CONFIG", "\"{}\": expected 1 to {}, found {}", key, most, **size);
  return static_cast<std::int32_t>(**size);
}

// The limits keep the product of any two widths in 64 bits and any fused width in 32.
Status take_sizes(ModelConfig& model, const Json& config) {
  Status taken;
  const auto take = [&](std::int32_t& out, std::string_view key, std::int32_t most, std::optional<std::int64_t> fallback = std::nullopt) {
    if (!taken) return;
    Result<std::int32_t> size = size_at(config, key, most, fallback);
    if (size) {
      out = *size;
    } else {
      taken = forward_error(size);
    }
  };
  take(model.vocab_size, "vocab_size", 1 << 24);
  take(model.hidden_size, "hidden_size", 1 << 20);
  take(model.intermediate_size, "intermediate_size", 1 << 24);
  take(model.layer_count, "num_hidden_layers", 1 << 12);
  take(model.head_count, "num_attention_heads", 1 << 13);
  const ModelFamily& family = traits_of(model.family);
  const bool as_many = family.has_as_many_kv_heads || config.contains("num_key_value_heads");
  take(model.kv_head_count, "num_key_value_heads", 1 << 13, as_many ? std::optional<std::int64_t>(model.head_count) : std::nullopt);
  if (!taken) return taken;

  std::optional<std::int64_t> head_dim;
  if (family.head_dim > 0) {
    head_dim = family.head_dim;
  } else if (model.hidden_size % model.head_count == 0) {
    head_dim = model.hidden_size / model.head_count;
  }
  take(model.head_dim, "head_dim", 1 << 12, head_dim);
  std::int32_t length = 0;
  take(length, "max_position_embeddings", INT32_MAX, family.max_position_embeddings);
  if (!taken) return taken;
  model.max_position_embeddings = length;

  if (model.head_count % model.kv_head_count != 0) {
    return error("E_MODEL_CONFIG", "\"num_attention_heads\": expected a multiple of num_key_value_heads ({}), found {}",
                 model.kv_head_count, model.head_count);
  }
  if (model.head_dim % 2 != 0) return error("E_MODEL_CONFIG", "\"head_dim\": expected an even number, found {}", model.head_dim);
  return {};
}

Status take_arithmetic(ModelConfig& model, const Json& config) {
  Result<std::optional<double>> eps = optional_number_at(config, "rms_norm_eps");
  if (!eps) return forward_error(eps);
  model.rms_norm_eps = eps->value_or(1e-6);
  if (!(model.rms_norm_eps >= 0.0 && model.rms_norm_eps < 1.0)) {
    return error("E_MODEL_CONFIG", "\"rms_norm_eps\": expected 0 to 1, found {}", model.rms_norm_eps);
  }
  Result<std::optional<std::string>> activation = optional_string_at(config, "hidden_act");
  if (!activation) return forward_error(activation);
  const std::string name = activation->value_or("silu");
  if (name != "silu" && name != "swish") return error("E_UNSUPPORTED_MODEL", "\"hidden_act\": expected silu, found {}", quote(name));

  Result<std::optional<bool>> tied = optional_bool_at(config, "tie_word_embeddings");
  if (!tied) return forward_error(tied);
  model.tie_embeddings = tied->value_or(false);
  return {};
}

Status take_biases(ModelConfig& model, const Json& config) {
  Result<std::optional<bool>> attention = optional_bool_at(config, "attention_bias");
  if (!attention) return forward_error(attention);
  Result<std::optional<bool>> mlp = optional_bool_at(config, "mlp_bias");
  if (!mlp) return forward_error(mlp);
  const ModelFamily& family = traits_of(model.family);
  const bool is_by_key = family.attention_bias == AttentionBias::by_key;
  if (attention->value_or(false) && family.attention_bias == AttentionBias::none)
    return error("E_UNSUPPORTED_MODEL", "\"attention_bias\": expected false for {}, found true", family.model_type);
  if (mlp->value_or(false) && !family.has_mlp_bias_key)
    return error("E_UNSUPPORTED_MODEL", "\"mlp_bias\": expected false for {}, found true", family.model_type);
  model.o_bias = is_by_key && attention->value_or(false);
  model.qkv_bias = model.o_bias || family.attention_bias == AttentionBias::qkv;
  model.mlp_bias = mlp->value_or(false);
  model.qk_norm = family.has_qk_norm;
  return {};
}

// The size of the attention window, or 0 for none, by the rules of each family's configuration class.
Result<std::int32_t> common_window(const ModelConfig& model, const Json& config) {
  const ModelFamily& family = traits_of(model.family);
  if (family.window_layers == WindowLayers::none) return 0;
  if (family.has_window_switch) {
    Result<std::optional<bool>> used = optional_bool_at(config, "use_sliding_window");
    if (!used) return forward_error(used);
    if (!used->value_or(false)) return 0;
  }
  if (config.contains("sliding_window") && find_member(config, "sliding_window") == nullptr) return 0;
  return size_at(config, "sliding_window", INT32_MAX, 4096);
}

Status take_windows(ModelConfig& model, const Json& config) {
  const WindowLayers layers = traits_of(model.family).window_layers;
  const Json* unused = find_member(config, "sliding_window");
  if (layers == WindowLayers::none && unused != nullptr && !is_off(*unused)) {
    model.warnings.push_back(
        fmt::format("config.json: \"sliding_window\" is left out, as in transformers: {} models have no window", name_of(model.family)));
  }
  Result<std::int32_t> window = common_window(model, config);
  if (!window) return forward_error(window);
  Result<std::optional<std::int64_t>> first = optional_integer_at(config, "max_window_layers");
  if (!first) return forward_error(first);
  const std::int64_t first_with_window = layers == WindowLayers::from_max_window_layers ? first->value_or(28) : 0;
  model.window.resize(static_cast<std::size_t>(model.layer_count));
  for (std::int32_t layer = 0; layer < model.layer_count; ++layer) {
    model.window[static_cast<std::size_t>(layer)] = layer >= first_with_window ? *window : 0;
  }

  Result<std::optional<std::vector<std::string>>> types = optional_strings_at(config, "layer_types");
  if (!types) return forward_error(types);
  if (!*types) return {};
  if ((*types)->size() != model.window.size()) {
    return error("E_MODEL_CONFIG", "\"layer_types\": expected {} entries, found {}", model.window.size(), (*types)->size());
  }
  const bool follows_types = layers == WindowLayers::from_max_window_layers;
  for (std::size_t layer = 0; layer < model.window.size(); ++layer) {
    const std::string& type = (**types)[layer];
    if (type != "full_attention" && type != "sliding_attention") {
      return error("E_UNSUPPORTED_MODEL", "\"layer_types\": expected full_attention or sliding_attention, found {}", quote(type));
    }
    const bool slides = type == "sliding_attention";
    if ((slides && *window == 0) || (!follows_types && slides != (model.window[layer] != 0))) {
      return error("E_MODEL_CONFIG", "\"layer_types\": \"{}\" of layer {} contradicts \"sliding_window\"", type, layer);
    }
    model.window[layer] = slides ? *window : 0;
  }
  return {};
}

}  // namespace

Result<ModelConfig> parse_model_config(const Json& config) {
  if (!config.is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(config));
  Result<Family> family = family_of(config);
  if (!family) return forward_error(family);
  ModelConfig model;
  model.family = *family;
  if (Status known = check_architecture(config, *family); !known) return forward_error(known);
  if (Status served = check_model_config_keys(model.warnings, config); !served) return forward_error(served);
  for (const auto take : {take_sizes, take_arithmetic, take_biases, take_windows}) {
    if (Status taken = take(model, config); !taken) return forward_error(taken);
  }
  Result<RopeConfig> rope = parse_rope_config(model.warnings, config, model.max_position_embeddings);
  if (!rope) return forward_error(rope);
  model.rope = *rope;
  for (const std::string_view key : {"torch_dtype", "dtype"}) {
    const Json* dtype = find_member(config, key);
    if (dtype != nullptr && dtype->is_string()) model.dtype = dtype->get<std::string>();
  }
  if (model.dtype.starts_with("torch.")) model.dtype.erase(0, 6);
  return model;
}

Result<ModelConfig> read_model_config(const std::string& folder) {
  if (is_gguf_path(folder)) {
    const Result<GgufModel> model = open_gguf_model(folder);
    if (!model) return tl::unexpected(model.error());
    return model_config_of_gguf(*model);
  }
  Result<Json> json = read_json_file(folder + "/config.json", {.bytes_max = kConfigBytesMax});
  if (!json && json.error().code == "E_NO_FILE") return error("E_NO_CONFIG", "expected config.json in the model folder, found none");
  if (!json) return forward_error(json);
  Result<ModelConfig> config = parse_model_config(*json);
  if (!config) config.error().message = "config.json: " + config.error().message;
  return config;
}

}  // namespace slora
