#include "formats/model_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/gguf_model.h"
#include "formats/model_config_keys.h"

namespace slora {
namespace {

constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;

// The reference implementation's defaults for absent keys.
struct FamilyDefaults {
  std::string_view model_type;
  std::string_view architecture;
  std::int64_t max_position_embeddings;
};
constexpr std::array<FamilyDefaults, 4> kFamilies = {{
    {"llama", "LlamaForCausalLM", 2048},
    {"mistral", "MistralForCausalLM", 131072},
    {"qwen2", "Qwen2ForCausalLM", 32768},
    {"qwen3", "Qwen3ForCausalLM", 32768},
}};

const FamilyDefaults& defaults_of(Family family) { return kFamilies[static_cast<std::size_t>(family)]; }

Result<Family> family_of(const Json& config) {
  Result<std::string> model_type = string_at(config, "model_type");
  if (!model_type) return forward_error(model_type);
  for (std::size_t i = 0; i < kFamilies.size(); ++i) {
    if (kFamilies[i].model_type == *model_type) return static_cast<Family>(i);
  }
  return error("E_UNSUPPORTED_MODEL", "\"model_type\": expected llama, mistral, qwen2 or qwen3, found {}", quote(*model_type));
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
  const std::string_view expected = defaults_of(family).architecture;
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
  // Other families have a fixed default, which is right for one model size only.
  const bool as_many = model.family == Family::llama || config.contains("num_key_value_heads");
  take(model.kv_head_count, "num_key_value_heads", 1 << 13, as_many ? std::optional<std::int64_t>(model.head_count) : std::nullopt);
  if (!taken) return taken;

  std::optional<std::int64_t> head_dim;
  if (model.family == Family::qwen3) {
    head_dim = 128;
  } else if (model.hidden_size % model.head_count == 0) {
    head_dim = model.hidden_size / model.head_count;
  }
  take(model.head_dim, "head_dim", 1 << 12, head_dim);
  std::int32_t length = 0;
  take(length, "max_position_embeddings", INT32_MAX, defaults_of(model.family).max_position_embeddings);
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
  const bool has_attention_bias = attention->value_or(false);
  switch (model.family) {
    case Family::llama:
    case Family::qwen3:
      model.qkv_bias = model.o_bias = has_attention_bias;
      break;
    case Family::qwen2:
      model.qkv_bias = true;
      break;  // independent of the config
    case Family::mistral:
      if (has_attention_bias) return error("E_UNSUPPORTED_MODEL", "\"attention_bias\": expected false for mistral, found true");
  }
  model.mlp_bias = mlp->value_or(false);
  if (model.mlp_bias && model.family != Family::llama) {
    return error("E_UNSUPPORTED_MODEL", "\"mlp_bias\": expected false for {}, found true", name_of(model.family));
  }
  model.qk_norm = model.family == Family::qwen3;
  return {};
}

// The size of the attention window, or 0 for none, by the rules of each family's configuration class.
Result<std::int32_t> common_window(const ModelConfig& model, const Json& config) {
  if (model.family == Family::llama) return 0;  // its attention has none, whatever the config says
  if (model.family != Family::mistral) {
    Result<std::optional<bool>> used = optional_bool_at(config, "use_sliding_window");
    if (!used) return forward_error(used);
    if (!used->value_or(false)) return 0;
  }
  if (config.contains("sliding_window") && find_member(config, "sliding_window") == nullptr) return 0;
  return size_at(config, "sliding_window", INT32_MAX, 4096);
}

Status take_windows(ModelConfig& model, const Json& config) {
  const Json* unused = find_member(config, "sliding_window");
  if (model.family == Family::llama && unused != nullptr && !is_off(*unused)) {
    model.warnings.push_back("config.json: \"sliding_window\" is left out, as in transformers: a llama has no window");
  }
  Result<std::int32_t> window = common_window(model, config);
  if (!window) return forward_error(window);
  Result<std::optional<std::int64_t>> first = optional_integer_at(config, "max_window_layers");
  if (!first) return forward_error(first);
  const std::int64_t first_with_window = model.family == Family::mistral ? 0 : first->value_or(28);
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
  const bool follows_types = model.family == Family::qwen2 || model.family == Family::qwen3;
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

std::string_view name_of(Family family) { return defaults_of(family).model_type; }

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
