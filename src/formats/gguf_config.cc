#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"
#include "formats/suspicious_words.h"

namespace slora {
namespace {

// Entries after the architecture's name that are read, or that change nothing when serving.
constexpr std::array<std::string_view, 27> kKnownEntries = {"block_count",
                                                            "context_length",
                                                            "embedding_length",
                                                            "feed_forward_length",
                                                            "vocab_size",
                                                            "attention.head_count",
                                                            "attention.head_count_kv",
                                                            "attention.key_length",
                                                            "attention.value_length",
                                                            "attention.layer_norm_rms_epsilon",
                                                            "attention.sliding_window",
                                                            "attention.causal",
                                                            "rope.freq_base",
                                                            "rope.dimension_count",
                                                            "rope.scaling.type",
                                                            "rope.scaling.factor",
                                                            "rope.scaling.original_context_length",
                                                            "rope.scaling.finetuned",
                                                            "rope.scaling.attn_factor",
                                                            "rope.scaling.yarn_ext_factor",
                                                            "rope.scaling.yarn_attn_factor",
                                                            "rope.scaling.yarn_beta_fast",
                                                            "rope.scaling.yarn_beta_slow",
                                                            "rope.scaling.yarn_log_multiplier",
                                                            "rope.scale_linear",
                                                            "pooling_type",
                                                            "tensor_data_layout"};
// Of models that are not served, unless 0.
constexpr std::array<std::string_view, 5> kRefusedEntries = {"expert_count", "expert_used_count", "expert_shared_count",
                                                             "nextn_predict_layers", "leading_dense_block_count"};

// A list is what type_name() says.
Json as_json(const GgufValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return std::string(type_name(value));
}

// Makes one model's config.
class ConfigMaker {
 public:
  explicit ConfigMaker(const GgufModel& model) : model_(model), head_(model.head()) {}

  Result<GgufConfig> make() {
    config_ = {{"model_type", model_.architecture->model_type}};
    for (const auto step :
         {&ConfigMaker::take_sizes, &ConfigMaker::take_vocabulary, &ConfigMaker::take_arithmetic, &ConfigMaker::refuse_others}) {
      if (Status taken = (this->*step)(); !taken) return forward_error(taken);
    }
    made_.config = std::make_unique<Json>(std::move(config_));
    return std::move(made_);
  }

 private:
  [[nodiscard]] std::string key_of(std::string_view name) const { return fmt::format("{}.{}", model_.architecture->name, name); }

  // Nothing if there is no such entry; an error if it has another type.
  template <class T>
  Result<std::optional<T>> optional_entry(std::string_view name) const {
    const std::string key = key_of(name);
    const GgufValue* const value = head_.find(key);
    if (value == nullptr) return std::nullopt;
    if (const T* const found = std::get_if<T>(value)) return *found;
    return error("E_MODEL_CONFIG", "entry {}: expected {}, found {}", quote(key), type_name(GgufValue(T{})), type_name(*value));
  }

  Result<std::optional<std::int64_t>> optional_size(std::string_view name) const {
    Result<std::optional<std::int64_t>> size = optional_entry<std::int64_t>(name);
    if (size && *size && (**size < 1 || **size > INT32_MAX))
      return error("E_MODEL_CONFIG", "entry {}: expected 1 to {}, found {}", quote(key_of(name)), INT32_MAX, **size);
    return size;
  }

  Result<std::int64_t> size(std::string_view name) const {
    const Result<std::optional<std::int64_t>> found = optional_size(name);
    if (!found) return tl::unexpected(found.error());
    if (!*found) return error("E_MODEL_CONFIG", "entry {}: expected an integer, found none", quote(key_of(name)));
    return **found;
  }

  Status take_sizes() {
    constexpr std::pair<std::string_view, const char*> kSizes[] = {{"embedding_length", "hidden_size"},
                                                                   {"feed_forward_length", "intermediate_size"},
                                                                   {"block_count", "num_hidden_layers"},
                                                                   {"attention.head_count", "num_attention_heads"},
                                                                   {"context_length", "max_position_embeddings"}};
    for (const auto& [name, key] : kSizes) {
      const Result<std::int64_t> found = size(name);
      if (!found) return tl::unexpected(found.error());
      config_[key] = *found;
    }
    const Result<std::optional<std::int64_t>> kv_heads = optional_size("attention.head_count_kv");
    if (!kv_heads) return tl::unexpected(kv_heads.error());
    const auto heads = config_["num_attention_heads"].get<std::int64_t>();
    config_["num_key_value_heads"] = kv_heads->value_or(heads);
    return take_head_dim(config_["hidden_size"].get<std::int64_t>(), heads);
  }

  Status take_head_dim(std::int64_t hidden, std::int64_t heads) {
    const Result<std::optional<std::int64_t>> stated = optional_size("attention.key_length");
    if (!stated) return tl::unexpected(stated.error());
    if (!*stated && hidden % heads != 0) {
      return error("E_MODEL_CONFIG", "entry {}: expected a multiple of {}, which is {}, found {}", quote(key_of("embedding_length")),
                   quote(key_of("attention.head_count")), heads, hidden);
    }
    const std::int64_t head_dim = stated->value_or(hidden / heads);
    if (Status taken = take_rotated_dim(head_dim); !taken) return taken;
    for (const std::string_view name : {"attention.value_length", "rope.dimension_count"}) {
      if (name == "rope.dimension_count" && model_.architecture->rotates_in_part) continue;
      const Result<std::optional<std::int64_t>> other = optional_size(name);
      if (!other) return tl::unexpected(other.error());
      if (other->value_or(head_dim) != head_dim) {
        return error("E_UNSUPPORTED_MODEL", "entry {}: expected {}, the length of a head, found {}", quote(key_of(name)), head_dim,
                     **other);
      }
    }
    config_["head_dim"] = head_dim;
    return {};
  }

  Status take_rotated_dim(std::int64_t head_dim) {
    rotated_dim_ = head_dim;
    if (!model_.architecture->rotates_in_part) return {};
    const Result<std::optional<std::int64_t>> rotated = optional_size("rope.dimension_count");
    if (!rotated) return tl::unexpected(rotated.error());
    rotated_dim_ = rotated->value_or(head_dim);
    if (rotated_dim_ != head_dim) config_["partial_rotary_factor"] = static_cast<double>(rotated_dim_) / static_cast<double>(head_dim);
    return {};
  }

  Status take_vocabulary() {
    const auto* const tokens = head_.find_as<std::vector<std::string>>("tokenizer.ggml.tokens");
    if (tokens == nullptr || tokens->empty())
      return error("E_MODEL_CONFIG", "entry \"tokenizer.ggml.tokens\": expected a list of texts, found none");
    const auto count = static_cast<std::int64_t>(tokens->size());
    const Result<std::optional<std::int64_t>> stated = optional_size("vocab_size");
    if (!stated) return tl::unexpected(stated.error());
    if (stated->value_or(count) != count) {
      return error("E_MODEL_CONFIG", "entry {}: expected {}, as many as \"tokenizer.ggml.tokens\" has, found {}",
                   quote(key_of("vocab_size")), count, **stated);
    }
    config_["vocab_size"] = count;
    config_["tie_word_embeddings"] = model_.find_tensor("output.weight") == nullptr;
    const Result<std::vector<std::int64_t>> ends = end_tokens_of_gguf(head_);
    if (!ends) return tl::unexpected(ends.error());
    if (!ends->empty()) config_["eos_token_id"] = std::vector<std::uint64_t>(ends->begin(), ends->end());
    for (const auto& [name, key] : {std::pair("bos", "bos_token_id"), std::pair("padding", "pad_token_id")}) {
      const auto* const id = head_.find_as<std::int64_t>(fmt::format("tokenizer.ggml.{}_token_id", name));
      if (id != nullptr && *id >= 0) config_[key] = static_cast<std::uint64_t>(*id);
    }
    return {};
  }

  Status take_arithmetic() {
    const Result<std::optional<double>> eps = optional_entry<double>("attention.layer_norm_rms_epsilon");
    if (!eps) return tl::unexpected(eps.error());
    if (!*eps) {
      return error("E_MODEL_CONFIG", "entry {}: expected a number, found none", quote(key_of("attention.layer_norm_rms_epsilon")));
    }
    config_["rms_norm_eps"] = **eps;
    const Result<std::optional<double>> theta = optional_entry<double>("rope.freq_base");
    if (!theta) return tl::unexpected(theta.error());
    config_["rope_theta"] = theta->value_or(10000.0);
    for (const char* key : {"rms_norm_eps", "rope_theta"}) {
      if (!std::isfinite(config_[key].get<double>())) return error("E_MODEL_CONFIG", "\"{}\": expected a finite number", key);
    }
    Result<Json> rope = rope_scaling_of_gguf(model_, config_["rope_theta"].get<double>(), rotated_dim_);
    if (!rope) return forward_error(rope);
    if (!rope->is_null()) config_["rope_scaling"] = std::move(*rope);

    if (model_.architecture->model_type == "llama") {
      if (model_.find_tensor("blk.0.attn_q.bias") != nullptr) config_["attention_bias"] = true;
      if (model_.find_tensor("blk.0.ffn_gate.bias") != nullptr) config_["mlp_bias"] = true;
    }
    if (Status taken = take_numbers(); !taken) return taken;
    return take_window();
  }

  // What only some architectures have.
  Status take_numbers() {
    const GgufArchitecture& architecture = *model_.architecture;
    for (const GgufName& number : architecture.numbers) {
      const Result<std::optional<double>> found = optional_entry<double>(number.gguf);
      if (!found) return tl::unexpected(found.error());
      if (*found && !std::isfinite(**found)) return error("E_MODEL_CONFIG", "{}: expected a finite number", quote(number.gguf));
      if (*found) config_[std::string(number.other)] = **found;
    }
    if (architecture.layers_of_wide_query > 0) {
      const bool is_wide = config_["num_hidden_layers"] == architecture.layers_of_wide_query;
      config_["query_pre_attn_scalar"] =
          is_wide ? config_["hidden_size"].get<std::int64_t>() / config_["num_attention_heads"].get<std::int64_t>()
                  : config_["head_dim"].get<std::int64_t>();
    }
    return {};
  }

  // A llama has no window, but a Mistral may have one.
  Status take_window() {
    const Result<std::optional<std::int64_t>> window = optional_entry<std::int64_t>("attention.sliding_window");
    if (!window) return tl::unexpected(window.error());
    const std::string_view type = model_.architecture->window_type;
    if (*window && **window == 0) config_["sliding_window"] = nullptr;
    if (window->value_or(0) == 0) return {};
    if (type.empty()) {
      return error("E_UNSUPPORTED_MODEL", "entry {}: expected 0 for {}, found {}", quote(key_of("attention.sliding_window")),
                   model_.architecture->name, **window);
    }
    config_["model_type"] = std::string(type);
    config_["sliding_window"] = **window;
    return {};
  }

  // Entries that would change the results.
  Status refuse_others() {
    const std::string prefix = key_of("");
    for (const auto& [key, value] : head_.entries) {
      if (!key.starts_with(prefix)) continue;
      const std::string_view name = std::string_view(key).substr(prefix.size());
      const Json found = as_json(value);
      if (name == "attention.causal" && found != true)
        return error("E_UNSUPPORTED_MODEL", "entry {}: expected true, found {}", quote(key), shown(found));
      const bool is_known = std::ranges::find(kKnownEntries, name) != kKnownEntries.end() ||
                            std::ranges::find(model_.architecture->numbers, name, &GgufName::gguf) != model_.architecture->numbers.end();
      if (is_off(found) || is_known) continue;
      if (std::ranges::find(kRefusedEntries, name) != kRefusedEntries.end())
        return error("E_UNSUPPORTED_MODEL", "entry {}: expected 0, found {}; models with it are not served", quote(key), shown(found));
      if (const std::string word = suspicious_word(name, found); !word.empty()) {
        return error("E_UNSUPPORTED_MODEL",
                     "entry {}: expected nothing, found {}; this entry is not known, and {} suggests that it changes the results",
                     quote(key), shown(found), quote(word));
      }
      made_.warnings.push_back(fmt::format("{}: entry {} is not known and left out", head_.file->name(), quote(key)));
    }
    return {};
  }

  const GgufModel& model_;
  const GgufFile& head_;
  Json config_;
  std::int64_t rotated_dim_ = 0;  // of a head
  GgufConfig made_;
};

}  // namespace

Result<GgufConfig> config_of_gguf(const GgufModel& model) {
  Result<GgufConfig> made = ConfigMaker(model).make();
  if (!made) return error(made.error().code, "{}: {}", model.head().file->name(), made.error().message);
  return made;
}

Result<ModelConfig> model_config_of_gguf(const GgufModel& model) {
  Result<GgufConfig> made = config_of_gguf(model);
  if (!made) return forward_error(made);
  Result<ModelConfig> config = parse_model_config(*made->config);
  if (!config) return error(config.error().code, "{}, as config.json: {}", model.head().file->name(), config.error().message);
  config->warnings.insert(config->warnings.end(), made->warnings.begin(), made->warnings.end());
  return config;
}

}  // namespace slora
