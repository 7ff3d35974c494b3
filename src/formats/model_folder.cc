#include "formats/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/gguf_model.h"
#include "formats/json.h"
#include "formats/model_tensors.h"
#include "formats/stray_tensors.h"

namespace slora {
namespace {

constexpr std::size_t kNamesShown = 4;

// Lets the flags of one config follow the tensors of its files.
class Agreement {
 public:
  explicit Agreement(ModelFolder& folder)
      : config_(folder.config),
        files_(folder.files),
        tensors_(*traits_of(config_.family).tensors),
        embedding_table_(fmt::format("{}.weight", tensors_.embedding)),
        head_table_(fmt::format("{}.weight", tensors_.head)) {}

  Status reach() {
    take_text_model();
    add_prefixes();
    for (const auto step : {&Agreement::settle_tied_tables, &Agreement::settle_biases}) {
      if (Status settled = (this->*step)(); !settled) return settled;
    }
    leave_out_strays();
    note_types();
    return {};
  }

 private:
  template <class... Args>
  void warn(fmt::format_string<Args...> text, Args&&... args) {
    config_.warnings.push_back(fmt::format(text, std::forward<Args>(args)...));
  }

  // What text needs, under the names of the family's table.
  void take_text_model() {
    std::vector<std::string> names;
    for (const ModelTensor& tensor : files_.tensors()) names.push_back(tensor.info.name);
    for (const std::string& name : names) {
      if (tensors_.leaves_out(name)) {
        files_.remove(name);
        continue;
      }
      std::string canonical = tensors_.canonical(name);
      if (canonical != name && files_.find(canonical) == nullptr) files_.rename(name, std::move(canonical));
    }
  }

  // Files that were saved without the head name everything without "model.".
  void add_prefixes() {
    if (files_.find(embedding_table_) != nullptr || files_.find("embed_tokens.weight") == nullptr) return;
    std::vector<std::string> names;
    for (const ModelTensor& tensor : files_.tensors()) {
      if (!tensor.info.name.starts_with("lm_head.") && !tensor.info.name.starts_with("model.")) names.push_back(tensor.info.name);
    }
    for (const std::string& name : names) {
      if (files_.find("model." + name) == nullptr) files_.rename(name, "model." + name);
    }
    warn("the files name their tensors without \"model.\": taken as if they had it");
  }

  // Both tables: used as they are unless they are equal. Only the head: it is the embedding too.
  Status settle_tied_tables() {
    const ModelTensor* embedding = files_.find(embedding_table_);
    const ModelTensor* head = files_.find(head_table_);
    if (!config_.tie_embeddings || head == nullptr) return {};
    if (embedding == nullptr) {
      files_.rename(head_table_, embedding_table_);
      return {};
    }
    const Result<bool> equal = files_.are_equal(*embedding, *head);
    if (!equal) return tl::unexpected(equal.error());
    if (*equal) {
      files_.remove(head_table_);
      return {};
    }
    config_.tie_embeddings = false;
    warn("config.json: \"tie_word_embeddings\" is true, but {} of {} and {} of {} differ: both are used, as in transformers",
         embedding_table_, files_.file_of(*embedding), head_table_, files_.file_of(*head));
    return {};
  }

  [[nodiscard]] bool has_bias_of(SiteKind site) const {
    const ModelTensors tensors = make_model_tensors(config_);
    return std::ranges::any_of(tensors.entries, [&](const TensorEntry& entry) {
      return entry.role == TensorRole::product && entry.site.kind == site && files_.find(entry.stored_as + ".bias") != nullptr;
    });
  }

  Status settle_biases() {
    if (config_.o_bias && !has_bias_of(SiteKind::qkv) && !has_bias_of(SiteKind::o)) {
      config_.qkv_bias = config_.o_bias = false;
      warn_of_no_biases("attention_bias");
    }
    if (config_.mlp_bias && !has_bias_of(SiteKind::gate_up) && !has_bias_of(SiteKind::down)) {
      config_.mlp_bias = false;
      warn_of_no_biases("mlp_bias");
    }
    std::vector<std::string> zeros;
    const ModelTensors tensors = make_model_tensors(config_);
    for (const TensorEntry& entry : tensors.entries) {
      if (entry.role != TensorRole::product || entry.has_bias) continue;
      const ModelTensor* bias = files_.find(entry.stored_as + ".bias");
      if (bias == nullptr) continue;
      const Result<bool> is_zero = holds_zeros(*bias);
      if (!is_zero) return tl::unexpected(is_zero.error());
      if (!*is_zero) return refuse_bias(entry, *bias);
      zeros.push_back(bias->info.name);
    }
    for (const std::string& name : zeros) files_.remove(name);
    if (!zeros.empty()) warn("left out {} biases that are zero, as the config has no biases there: {}", zeros.size(), shown_names(zeros));
    return {};
  }

  void warn_of_no_biases(std::string_view key) {
    warn("config.json: \"{}\" is true, but the files hold no such bias: served without, as in transformers", key);
  }

  [[nodiscard]] Status refuse_bias(const TensorEntry& entry, const ModelTensor& bias) const {
    const std::string_view key = bias_key_of(config_.family, entry.site.kind);
    const std::string why = !key.empty() ? fmt::format("config.json: \"{}\" is false", key)
                                         : fmt::format("{} models have no bias there", name_of(config_.family));
    return error("E_MODEL_CONFIG", "{}: tensor {}: expected no bias, as {}, found one that is not zero", files_.file_of(bias),
                 quote(bias.info.name), why);
  }

  // The bytes of zeros are zero in every type; a negative zero counts as a number.
  [[nodiscard]] Result<bool> holds_zeros(const ModelTensor& tensor) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(tensor.info.bytes, kBiasBytesMax)));
    if (bytes.size() != tensor.info.bytes) return false;
    if (Status read = files_.read(tensor, bytes); !read) return forward_error(read);
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
  }

  void leave_out_strays() {
    const ModelTensors tensors = make_model_tensors(config_);
    std::set<std::string> expected;
    for (const TensorEntry& entry : tensors.entries) {
      expected.insert(entry.stored_as + ".weight");
      if (entry.has_bias) expected.insert(entry.stored_as + ".bias");
    }
    std::vector<std::string> derived, unused;
    for (const ModelTensor& tensor : files_.tensors()) {
      if (expected.contains(tensor.info.name)) continue;
      const StrayTensor kind = stray_tensor(tensor.info.name, tensor.info.dtype);
      if (kind != StrayTensor::foreign) (kind == StrayTensor::derived ? derived : unused).push_back(tensor.info.name);
    }
    for (const std::vector<std::string>* names : {&derived, &unused}) {
      for (const std::string& name : *names) files_.remove(name);
    }
    if (!unused.empty()) warn("left out {} tensors of the files that nothing computes with: {}", unused.size(), shown_names(unused));
  }

  // Only says so: the numbers are used as they are stored.
  void note_types() {
    if (config_.dtype.empty() || files_.tensors().empty()) return;
    const auto stored = [&](DType dtype) {
      return std::ranges::any_of(files_.tensors(), [&](const ModelTensor& tensor) { return tensor.info.dtype == dtype; });
    };
    for (const auto& [name, dtype] :
         {std::pair("float32", DType::f32), std::pair("float16", DType::f16), std::pair("bfloat16", DType::bf16)}) {
      if (config_.dtype != name || stored(dtype)) continue;
      warn("config.json: \"dtype\" is {}, but the files hold {}: used as stored", name, name_of(files_.tensors().front().info.dtype));
    }
  }

  static std::string shown_names(const std::vector<std::string>& names) {
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) shown.push_back(quote(names[i]));
    return fmt::format("{}{}", fmt::join(shown, ", "), names.size() > kNamesShown ? ", ..." : "");
  }

  static constexpr std::uint64_t kBiasBytesMax = std::uint64_t{64} << 20;

  ModelConfig& config_;
  ModelFiles& files_;
  const FamilyTensors& tensors_;
  const std::string embedding_table_, head_table_;
};

// Makes weights of what the files have of quantised ones.
Status dequantise(ModelFolder& folder, const QuantizationConfig& quantization) {
  Result<QuantisedWeights> quantised = read_quantised_weights(folder.files, quantization);
  if (!quantised) return forward_error(quantised);
  folder.quantised = std::move(*quantised);
  std::vector<std::string>& warnings = folder.config.warnings;
  warnings.insert(warnings.end(), quantization.warnings.begin(), quantization.warnings.end());
  if (folder.quantised.count == 0) {
    warnings.push_back(
        fmt::format("config.json: \"quantization_config\" says {}, but the files hold no weight that is so quantised: used as stored",
                    name_of(quantization.method)));
  }
  return {};
}

Status read_layers_as_nf4(ModelFolder& folder) {
  for (const TensorEntry& entry : make_model_tensors(folder.config).entries) {
    const std::string name = entry.stored_as + ".weight";
    const bool is_rounded = entry.role == TensorRole::product && entry.site.kind != SiteKind::head;
    const ModelTensor* tensor = is_rounded ? folder.files.find(name) : nullptr;
    if (tensor == nullptr) continue;
    if (tensor->form != nullptr) {
      return error("E_UNSUPPORTED_MODEL", "{}: tensor {}: expected plain numbers to round to NF4, found them quantised",
                   folder.files.file_of(*tensor), quote(name));
    }
    folder.files.read_through(name, tensor->info, nf4_rounded(folder.files.stored(*tensor)));
  }
  return {};
}

Result<ModelFolder> open_gguf(const std::string& path, WeightRounding rounding) {
  if (rounding != WeightRounding::none) {
    return error("E_UNSUPPORTED_MODEL", "{}: expected a folder of safetensors to round to NF4, found a GGUF file", file_name(path));
  }
  const Result<GgufModel> model = open_gguf_model(path);
  if (!model) return tl::unexpected(model.error());
  const Result<GgufConfig> config = config_of_gguf(*model);
  if (!config) return tl::unexpected(config.error());
  Result<ModelConfig> interpreted = model_config_of_gguf(*model);
  if (!interpreted) return forward_error(interpreted);
  Result<ModelFiles> files = files_of_gguf(*model, *config->config);
  if (!files) return forward_error(files);
  return ModelFolder{std::move(*interpreted), std::move(*files)};
}

}  // namespace

Result<ModelFolder> open_model_folder(const std::string& folder, WeightRounding rounding) {
  if (is_gguf_path(folder)) return open_gguf(folder, rounding);
  Result<ModelConfig> config = read_model_config(folder);
  if (!config) return forward_error(config);
  const Result<std::optional<QuantizationConfig>> quantization = read_quantization_config(folder);
  if (!quantization) return tl::unexpected(quantization.error());
  Result<ModelFiles> files = ModelFiles::open(folder);
  if (!files) return forward_error(files);
  ModelFolder opened{std::move(*config), std::move(*files)};
  for (const std::string& warning : opened.files.warnings()) opened.config.warnings.push_back(warning);
  if (*quantization) {
    if (Status read = dequantise(opened, **quantization); !read) return forward_error(read);
  }
  if (Status agreed = Agreement(opened).reach(); !agreed) return forward_error(agreed);
  if (rounding == WeightRounding::nf4) {
    if (Status read = read_layers_as_nf4(opened); !read) return forward_error(read);
  }
  return opened;
}

}  // namespace slora
