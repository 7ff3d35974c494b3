#include "formats/model_config.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/gguf_model.h"
#include "formats/model_config_keys.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;
constexpr std::int32_t kMlpWidthMax = 1 << 24;
constexpr std::int32_t kExpertsMax = 1 << 12;
constexpr std::int32_t kExpertsOfLayersMax = 1 << 18;  // each has tensors, of which tables are made before the files are looked at
constexpr std::string_view kWindowPeriodKey = "sliding_window_pattern";

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

// Takes a size unless one before it was refused: the first refusal stays.
void take_size(Status& taken, std::int32_t& out, const Result<std::int32_t>& size) {
  if (!taken) return;
  if (size) {
    out = *size;
  } else {
    taken = tl::unexpected(size.error());
  }
}

// The limits keep the product of any two widths in 64 bits and any fused width in 32.
Status take_sizes(ModelConfig& model, const Json& config) {
  Status taken;
  const auto take = [&](std::int32_t& out, std::string_view key, std::int32_t most, std::optional<std::int64_t> fallback = std::nullopt) {
    take_size(taken, out, size_at(config, key, most, fallback));
  };
  const ModelFamily& family = traits_of(model.family);
  const auto unless_zero = [](std::int32_t size) { return size > 0 ? std::optional<std::int64_t>(size) : std::nullopt; };
  take(model.vocab_size, "vocab_size", 1 << 24, unless_zero(family.vocab_size));
  take(model.hidden_size, "hidden_size", 1 << 20);
  take(model.intermediate_size, "intermediate_size", kMlpWidthMax);
  take(model.layer_count, "num_hidden_layers", 1 << 12);
  take(model.head_count, "num_attention_heads", 1 << 13, unless_zero(family.head_count));
  const bool as_many = family.has_as_many_kv_heads || config.contains("num_key_value_heads");
  take(model.kv_head_count, "num_key_value_heads", 1 << 13,
       as_many ? std::optional<std::int64_t>(model.head_count) : unless_zero(family.kv_head_count));
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
  model.rms_norm_eps = eps->value_or(traits_of(model.family).norm_eps);
  if (!(model.rms_norm_eps >= 0.0 && model.rms_norm_eps < 1.0)) {
    return error("E_MODEL_CONFIG", "\"rms_norm_eps\": expected 0 to 1, found {}", model.rms_norm_eps);
  }
  const ModelFamily& family = traits_of(model.family);
  Result<std::optional<std::string>> activation = optional_string_at(config, family.activation_key);
  if (!activation) return forward_error(activation);
  const std::string name = activation->value_or(std::string(family.activation));
  if (name == "gelu_pytorch_tanh") {
    model.activation = Activation::gelu_tanh;
  } else if (name != "silu" && name != "swish") {
    return error("E_UNSUPPORTED_MODEL", "\"{}\": expected silu or gelu_pytorch_tanh, found {}", family.activation_key, quote(name));
  }

  Result<std::optional<bool>> tied = optional_bool_at(config, "tie_word_embeddings");
  if (!tied) return forward_error(tied);
  model.tie_embeddings = tied->value_or(family.ties_embeddings);
  return {};
}

// Rounded to the type that the reference implementation holds the weights in.
double rounded_as_weights(double number, std::string_view dtype) {
  const auto value = static_cast<float>(number);
  if (dtype == "float32") return value;
  return dtype == "float16" ? to_float(to_float16(value)) : to_float(to_bfloat16(value));
}

Status take_numbers(ModelConfig& model, const Json& config) {
  const ModelFamily& family = traits_of(model.family);
  for (const NumberKey& key : family.numbers) {
    Result<std::optional<double>> number = optional_number_at(config, key.name);
    if (!number) return forward_error(number);
    const bool is_off = key.is_cap && config.contains(key.name) && number->value_or(0.0) == 0.0;
    const double found = is_off ? 0.0 : number->value_or(key.if_absent);
    const bool is_possible = (key.is_cap ? found >= 0.0 : found > 0.0) && found < 1e6;
    if (!is_possible) return error("E_MODEL_CONFIG", "\"{}\": expected a number above 0, up to a million, found {}", key.name, found);
    model.*key.field = found;
  }
  if (family.scales_embedding) model.embedding_scale = rounded_as_weights(std::sqrt(static_cast<double>(model.hidden_size)), model.dtype);
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

bool reads(const ModelFamily& family, std::string_view key) { return std::ranges::find(family.keys, key) != family.keys.end(); }

// Which layers have experts.
Status take_mixture_layers(ModelConfig& model, const Json& config) {
  if (!reads(traits_of(model.family), "mlp_only_layers")) {
    model.mixture.layers.assign(static_cast<std::size_t>(model.layer_count), true);
    return {};
  }
  Result<std::int32_t> step = size_at(config, "decoder_sparse_step", INT32_MAX, 1);
  if (!step) return forward_error(step);
  model.mixture.layers.resize(static_cast<std::size_t>(model.layer_count));
  for (std::size_t layer = 0; layer < model.mixture.layers.size(); ++layer) {
    model.mixture.layers[layer] = (layer + 1) % static_cast<std::size_t>(*step) == 0;
  }
  const Json* const dense = find_member(config, "mlp_only_layers");
  if (dense == nullptr) return {};
  const auto is_layer = [&](const Json& value) { return value.is_number_integer() && value >= 0 && value < model.layer_count; };
  if (!dense->is_array() || !std::all_of(dense->begin(), dense->end(), is_layer)) {
    return error("E_MODEL_CONFIG", "\"mlp_only_layers\": expected indices of the {} layers, found {}", model.layer_count, shown(*dense));
  }
  for (const Json& layer : *dense) model.mixture.layers[layer.get<std::size_t>()] = false;
  return {};
}

Status take_mixture(ModelConfig& model, const Json& config) {
  const MixtureKeys& keys = traits_of(model.family).mixture;
  if (keys.count.empty()) return {};
  MixtureConfig& mixture = model.mixture;
  const bool has_new_key = !keys.count_since.empty() && !config.contains(keys.count) && config.contains(keys.count_since);
  const std::string_view count_key = has_new_key ? keys.count_since : keys.count;
  Status taken;
  const auto take = [&](std::int32_t& out, std::string_view key, std::int32_t most, std::int32_t fallback) {
    take_size(taken, out, size_at(config, key, most, fallback));
  };
  take(mixture.expert_count, count_key, kExpertsMax, keys.count_if_absent);
  take(mixture.experts_per_token, "num_experts_per_tok", kExpertsMax, keys.per_token_if_absent);
  mixture.expert_width = model.intermediate_size;
  if (keys.width_if_absent > 0) take(mixture.expert_width, "moe_intermediate_size", kMlpWidthMax, keys.width_if_absent);
  if (keys.shared_if_absent > 0) take(mixture.shared_width, "shared_expert_intermediate_size", kMlpWidthMax, keys.shared_if_absent);
  if (!taken) return taken;
  if (std::int64_t{mixture.expert_count} * model.layer_count > kExpertsOfLayersMax) {
    return error("E_MODEL_CONFIG", "\"{}\": expected at most {} in {} layers, found {}", count_key, kExpertsOfLayersMax / model.layer_count,
                 model.layer_count, mixture.expert_count);
  }
  if (mixture.experts_per_token > mixture.expert_count) {
    return error("E_MODEL_CONFIG", "\"num_experts_per_tok\": expected at most {} ({}), found {}", count_key, mixture.expert_count,
                 mixture.experts_per_token);
  }
  Result<std::optional<bool>> normalises = optional_bool_at(config, "norm_topk_prob");
  if (!normalises) return forward_error(normalises);
  mixture.normalises_shares = keys.normalises_shares || normalises->value_or(false);
  return take_mixture_layers(model, config);
}

// "no_rope_layers": 0 stands for a layer without RoPE.
Status take_layers_without_rope(ModelConfig& model, const Json& config) {
  const std::int32_t usual_period = traits_of(model.family).no_rope_period;
  if (usual_period == 0) return {};
  const auto count = static_cast<std::size_t>(model.layer_count);
  model.without_rope.resize(count);
  if (const Json* const layers = find_member(config, "no_rope_layers")) {
    const auto is_flag = [](const Json& value) { return value.is_number_integer() && (value == 0 || value == 1); };
    if (!layers->is_array() || layers->size() < count || !std::all_of(layers->begin(), layers->end(), is_flag))
      return error("E_MODEL_CONFIG", "\"no_rope_layers\": expected 0 or 1 for each of {} layers, found {}", count, shown(*layers));
    for (std::size_t layer = 0; layer < count; ++layer) model.without_rope[layer] = (*layers)[layer] == 0;
    return {};
  }
  Result<std::int32_t> period = size_at(config, "no_rope_layer_interval", INT32_MAX, usual_period);
  if (!period) return forward_error(period);
  for (std::size_t layer = 0; layer < count; ++layer) model.without_rope[layer] = (layer + 1) % static_cast<std::size_t>(*period) == 0;
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
  if (family.window_size == 0 && !config.contains("sliding_window")) return 0;
  return size_at(config, "sliding_window", INT32_MAX, family.window_size);
}

// The last of each such number of layers has no window; 0: no such period.
Result<std::int32_t> window_period(const ModelConfig& model, const Json& config) {
  const ModelFamily& family = traits_of(model.family);
  if (family.window_layers != WindowLayers::all_but_every_nth) return 0;
  return reads(family, kWindowPeriodKey) ? size_at(config, kWindowPeriodKey, INT32_MAX, family.window_period) : family.window_period;
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
  Result<std::int32_t> period = window_period(model, config);
  if (!period) return forward_error(period);
  model.window.resize(static_cast<std::size_t>(model.layer_count));
  for (std::int32_t layer = 0; layer < model.layer_count; ++layer) {
    const bool is_last_of_period = *period > 0 && (layer + 1) % *period == 0;
    const bool is_other = layers == WindowLayers::every_other_below_max && (layer % 2 == 1 || layer >= first->value_or(28));
    const bool is_excepted = is_other || is_last_of_period || (layers == WindowLayers::without_rope && model.has_rope(layer));
    model.window[static_cast<std::size_t>(layer)] = layer >= first_with_window && !is_excepted ? *window : 0;
  }

  Result<std::optional<std::vector<std::string>>> types = optional_strings_at(config, "layer_types");
  if (!types) return forward_error(types);
  if (!*types) return {};
  if ((*types)->size() != model.window.size()) {
    return error("E_MODEL_CONFIG", "\"layer_types\": expected {} entries, found {}", model.window.size(), (*types)->size());
  }
  const bool follows_types = layers != WindowLayers::none && layers != WindowLayers::all;
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

// The parameters of one kind of layers, where "rope_parameters" has one object for each; else the config's.
Result<RopeConfig> rope_of_layers(ModelConfig& model, const Json& config, std::string_view layers, double theta) {
  const RopeRules rules{theta, traits_of(model.family).rope.has_longrope ? model.head_dim : 0};
  const Json* const parameters = find_member(config, "rope_parameters");
  const Json* const own = parameters != nullptr && parameters->is_object() ? find_member(*parameters, layers) : nullptr;
  if (own == nullptr) return parse_rope_config(model.warnings, config, model.max_position_embeddings, rules);
  Json of_layers = config;
  for (const char* key : {"rope_scaling", "rope_theta"}) of_layers.erase(key);
  of_layers["rope_parameters"] = *own;
  return parse_rope_config(model.warnings, of_layers, model.max_position_embeddings, rules);
}

Status take_rope(ModelConfig& model, const Json& config) {
  const RopeDefaults& defaults = traits_of(model.family).rope;
  Result<RopeConfig> rope = rope_of_layers(model, config, "full_attention", defaults.theta);
  if (!rope) return forward_error(rope);
  model.rope = *rope;
  if (defaults.window_theta == 0.0) return {};
  // The keys of transformers 4 scale the layers without a window only.
  Json of_windows = config;
  for (const char* key : {"rope_scaling", "rope_theta"}) of_windows.erase(key);
  if (const Json* theta = find_member(config, defaults.window_theta_key)) of_windows["rope_theta"] = *theta;
  Result<RopeConfig> window_rope = rope_of_layers(model, of_windows, "sliding_attention", defaults.window_theta);
  if (!window_rope) return forward_error(window_rope);
  if (*window_rope != model.rope) model.window_rope = *window_rope;
  return {};
}

void take_dtype(ModelConfig& model, const Json& config) {
  for (const std::string_view key : {"torch_dtype", "dtype"}) {
    const Json* dtype = find_member(config, key);
    if (dtype != nullptr && dtype->is_string()) model.dtype = dtype->get<std::string>();
  }
  if (model.dtype.starts_with("torch.")) model.dtype.erase(0, 6);
}

// The keys of the text model, with those of the whole that are about it.
Result<Json> text_config_of(const Json& config, const ModelFamily& family) {
  Json whole = config;
  const Json* const found = find_member(config, "text_config");
  if (found == nullptr || !found->is_object()) return error("E_MODEL_CONFIG", "\"text_config\": expected an object");
  Json text = *found;
  whole.erase("text_config");
  const Result<std::optional<std::string>> type = optional_string_at(text, "model_type");
  if (!type) return tl::unexpected(type.error());
  if (type->value_or(std::string(family.text_type)) != family.text_type) {
    return error("E_UNSUPPORTED_MODEL", "\"text_config\": \"model_type\": expected {}, found {}", family.text_type, quote(**type));
  }
  for (const char* key : {"tie_word_embeddings", "dtype", "torch_dtype"}) {
    if (text.contains(key)) whole.erase(key);
  }
  text.update(whole);
  return text;
}

}  // namespace

Result<ModelConfig> parse_model_config(const Json& config) {
  if (!config.is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(config));
  Result<Family> family = family_of(config);
  if (!family) return forward_error(family);
  const ModelFamily& traits = traits_of(*family);
  Result<Json> text = traits.text_type.empty() ? Result<Json>(config) : text_config_of(config, traits);
  if (!text) return forward_error(text);
  ModelConfig model;
  model.family = *family;
  if (Status known = check_architecture(*text, *family); !known) return forward_error(known);
  if (Status served = check_model_config_keys(model.warnings, *text, traits); !served) return forward_error(served);
  take_dtype(model, *text);
  for (const auto take :
       {take_sizes, take_arithmetic, take_numbers, take_biases, take_mixture, take_layers_without_rope, take_windows, take_rope}) {
    if (Status taken = take(model, *text); !taken) return forward_error(taken);
  }
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
