#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <span>

#include "formats/gguf_model.h"

namespace slora {
namespace {

constexpr std::string_view kFactors = "rope_freqs.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight", kLongFactors = "rope_factors_long.weight";
// Of every published model with these factors; files do not say them.
constexpr double kLowFrequencyFactor = 1, kHighFrequencyFactor = 4, kOriginalLength = 8192;
constexpr double kToleranceMax = 1e-5;  // factors are stored in fp32
constexpr std::uint64_t kFactorBytesMax = 4 * 4096;

// By what llama3's RoPE divides the frequency of pair `index` of a head.
double llama3_factor(std::int64_t index, std::int64_t rotated_dim, double theta, double factor) {
  const double wave_length = 2 * std::numbers::pi * std::pow(theta, 2 * static_cast<double>(index) / static_cast<double>(rotated_dim));
  if (wave_length < kOriginalLength / kHighFrequencyFactor) return 1;
  if (wave_length > kOriginalLength / kLowFrequencyFactor) return factor;
  const double smooth = (kOriginalLength / wave_length - kLowFrequencyFactor) / (kHighFrequencyFactor - kLowFrequencyFactor);
  return 1 / ((1 - smooth) / factor + smooth);
}

Result<std::vector<float>> read_factors(const GgufModel& model, const GgufTensor& tensor, std::int64_t rotated_dim) {
  if (tensor.info.shape != std::vector<std::int64_t>{rotated_dim / 2} || tensor.type->name != "F32" ||
      tensor.info.bytes > kFactorBytesMax) {
    return error("E_SHAPE", "tensor \"{}\": expected {} numbers in F32, half of what rotates of a head, found {} bytes in {}",
                 tensor.info.name, rotated_dim / 2, tensor.stored_bytes, tensor.type->name);
  }
  std::vector<float> factors(static_cast<std::size_t>(rotated_dim / 2));
  for (const GgufFile& shard : model.shards) {
    const bool has_it = std::ranges::any_of(shard.tensors, [&](const GgufTensor& other) { return &other == &tensor; });
    if (!has_it) continue;
    if (Status read = shard.file->read_at(std::as_writable_bytes(std::span(factors)), tensor.info.offset); !read)
      return forward_error(read);
  }
  return factors;
}

// Files have the factors that follow from llama3's parameters, not the parameters.
Result<Json> llama3_of(std::span<const float> factors, std::int64_t rotated_dim, double theta) {
  const double factor = factors.empty() ? 1 : static_cast<double>(factors.back());
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double expected = llama3_factor(static_cast<std::int64_t>(i), rotated_dim, theta, factor);
    if (std::abs(static_cast<double>(factors[i]) - expected) <= kToleranceMax * expected) continue;
    return error(
        "E_UNSUPPORTED_MODEL",
        "tensor \"{}\": expected factors of llama3's RoPE with factor {}, low {}, high {} and length {}, found {} instead of {} at {}",
        kFactors, factor, kLowFrequencyFactor, kHighFrequencyFactor, kOriginalLength, factors[i], expected, i);
  }
  if (factor == 1) return Json();
  return Json{{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", kLowFrequencyFactor},
              {"high_freq_factor", kHighFrequencyFactor},
              {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginalLength)}};
}

// Reads the entries ARCHITECTURE.rope.scaling.*
class ScalingReader {
 public:
  explicit ScalingReader(const GgufModel& model) : model_(model) {}

  Result<Json> read() const {
    const std::string key = key_of("type");
    const GgufValue* const value = model_.head().find(key);
    const auto* const type = value != nullptr ? std::get_if<std::string>(value) : nullptr;
    if (value != nullptr && type == nullptr)
      return error("E_MODEL_CONFIG", "entry {}: expected a text, found {}", quote(key), type_name(*value));
    if (type == nullptr || *type == "none" || type->empty()) return read_older();
    Json scaling{{"rope_type", *type}};
    if (*type == "linear") {
      if (Status added = add(scaling, "factor", "factor", true); !added) return forward_error(added);
      return scaling;
    }
    if (*type != "yarn") return error("E_UNSUPPORTED_MODEL", "entry {}: expected none, linear or yarn, found {}", quote(key), quote(*type));
    for (const std::string_view factor : {"attn_factor", "yarn_attn_factor", "yarn_ext_factor", "yarn_log_multiplier"}) {
      if (Status off = expect_off(factor); !off) return forward_error(off);
    }
    if (Status added = add(scaling, "factor", "factor", true); !added) return forward_error(added);
    if (Status added = add(scaling, "original_context_length", "original_max_position_embeddings", true); !added)
      return forward_error(added);
    if (Status added = add(scaling, "yarn_beta_fast", "beta_fast", false); !added) return forward_error(added);
    if (Status added = add(scaling, "yarn_beta_slow", "beta_slow", false); !added) return forward_error(added);
    return scaling;
  }

  // An entry under the name that config.json has for it.
  Status add(Json& scaling, std::string_view name, const char* as, bool is_required) const {
    const Result<std::optional<double>> found = number(key_of(name));
    if (!found) return tl::unexpected(found.error());
    if (!*found && is_required) return error("E_MODEL_CONFIG", "entry {}: expected a number, found none", quote(key_of(name)));
    if (!*found) return {};
    const double whole = std::floor(**found);
    scaling[as] =
        name == "original_context_length" && whole == **found && whole < 1e9 ? Json(static_cast<std::int64_t>(whole)) : Json(**found);
    return {};
  }

 private:
  [[nodiscard]] std::string key_of(std::string_view name) const {
    return fmt::format("{}.rope.scaling.{}", model_.architecture->name, name);
  }

  // Nothing if there is no such entry.
  [[nodiscard]] Result<std::optional<double>> number(const std::string& key) const {
    const GgufValue* const value = model_.head().find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* integer = std::get_if<std::int64_t>(value)) return static_cast<double>(*integer);
    const auto* const found = std::get_if<double>(value);
    if (found != nullptr && std::isfinite(*found)) return *found;
    return error("E_MODEL_CONFIG", "entry {}: expected a finite number, found {}", quote(key),
                 found != nullptr ? fmt::format("{}", *found) : std::string(type_name(*value)));
  }

  [[nodiscard]] Status expect_off(std::string_view name) const {
    const Result<std::optional<double>> found = number(key_of(name));
    if (!found) return tl::unexpected(found.error());
    const bool is_off = found->value_or(1) == 1 || (**found == 0 && name == "yarn_log_multiplier");
    if (is_off) return {};
    return error("E_UNSUPPORTED_MODEL", "entry {}: expected 1, found {}", quote(key_of(name)), **found);
  }

  // Older files have the factor of linear RoPE alone, as its inverse.
  [[nodiscard]] Result<Json> read_older() const {
    const std::string key = fmt::format("{}.rope.scale_linear", model_.architecture->name);
    const Result<std::optional<double>> found = number(key);
    if (!found) return tl::unexpected(found.error());
    if (!*found || **found == 1 || **found == 0) return Json();
    return error("E_UNSUPPORTED_MODEL", "entry {}: expected nothing, found {}; newer files say \"rope.scaling.factor\"", quote(key),
                 **found);
  }

  const GgufModel& model_;
};

// Whose model_type does not have it, is refused by parse_rope_config().
Result<Json> longrope_of(const GgufModel& model, const GgufTensor& short_factors, std::int64_t rotated_dim) {
  const Result<std::vector<float>> factors = read_factors(model, short_factors, rotated_dim);
  if (!factors) return tl::unexpected(factors.error());
  Json scaling{{"rope_type", "longrope"}, {"short_factor", *factors}};
  const ScalingReader reader(model);
  if (Status added = reader.add(scaling, "original_context_length", "original_max_position_embeddings", true); !added)
    return forward_error(added);
  if (Status added = reader.add(scaling, "attn_factor", "attention_factor", false); !added) return forward_error(added);
  return scaling;
}

}  // namespace

Result<Json> rope_scaling_of_gguf(const GgufModel& model, double theta, std::int64_t rotated_dim) {
  Result<Json> scaling = ScalingReader(model).read();
  const GgufTensor* const tensor = model.find_tensor(kFactors);
  const GgufTensor* const short_factors = model.find_tensor(kShortFactors);
  if (short_factors == nullptr && model.find_tensor(kLongFactors) != nullptr)
    return error("E_MISSING_TENSOR", "tensor \"{}\": expected one next to \"{}\", found none", kShortFactors, kLongFactors);
  if (!scaling || (tensor == nullptr && short_factors == nullptr)) return scaling;
  const GgufTensor& found = tensor != nullptr ? *tensor : *short_factors;
  if (!scaling->is_null() || (tensor != nullptr && short_factors != nullptr)) {
    return error("E_UNSUPPORTED_MODEL", "tensor \"{}\": expected none next to {}, found one", found.info.name,
                 scaling->is_null() ? fmt::format("tensor \"{}\"", kShortFactors)
                                    : fmt::format("\"rope.scaling.type\" {}", shown((*scaling)["rope_type"])));
  }
  if (short_factors != nullptr) return longrope_of(model, *short_factors, rotated_dim);
  const Result<std::vector<float>> factors = read_factors(model, *tensor, rotated_dim);
  if (!factors) return tl::unexpected(factors.error());
  return llama3_of(*factors, rotated_dim, theta);
}

}  // namespace slora
