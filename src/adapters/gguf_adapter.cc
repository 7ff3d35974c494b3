#include "adapters/gguf_adapter.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "adapters/tensor_names.h"
#include "formats/gguf.h"
#include "formats/gguf_names.h"

namespace slora {
namespace {

std::string text_of(const GgufFile& file, std::string_view key) {
  const auto* const text = file.find_as<std::string>(key);
  return text != nullptr ? *text : "";
}

// What a file's header says of its adapter.
struct GgufAdapter {
  double alpha = 0;
  const GgufArchitecture* architecture = nullptr;
  std::vector<std::int64_t> invocation_tokens;
};

Result<GgufAdapter> read_entries(const GgufFile& file) {
  if (text_of(file, "general.type") != "adapter" || text_of(file, "adapter.type") != "lora") {
    return error("E_FOREIGN", "expected an adapter of type lora, found {} of type {}", quote(text_of(file, "general.type")),
                 quote(text_of(file, "adapter.type")));
  }
  GgufAdapter adapter;
  const std::string architecture = text_of(file, "general.architecture");
  adapter.architecture = find_gguf_architecture(architecture);
  if (adapter.architecture == nullptr)
    return error("E_WRONG_BASE", "\"general.architecture\": expected {}, found {}", gguf_architecture_names(), quote(architecture));
  const auto* const alpha = file.find_as<double>("adapter.lora.alpha");
  if (alpha == nullptr || !std::isfinite(*alpha) || *alpha == 0)
    return error("E_SCALE", "\"adapter.lora.alpha\": expected a finite number but 0, found {}", alpha != nullptr ? *alpha : 0);
  adapter.alpha = *alpha;
  if (const auto* const tokens = file.find_as<std::vector<std::int64_t>>("adapter.alora.invocation_tokens")) {
    adapter.invocation_tokens = *tokens;
  } else if (file.find("adapter.alora.invocation_tokens") != nullptr) {
    return error("E_UNSUPPORTED_OPTION", "\"adapter.alora.invocation_tokens\": expected a list of integers");
  }
  return adapter;
}

// A tensor in PEFT's form, and what the config must say of it.
struct ConvertedTensor {
  ReadableTensor tensor;
  std::string path;
  std::int64_t rank = 0;  // of its module; 0: it is not A
  bool is_norm = false;
};

Result<ConvertedTensor> convert_gguf_tensor(ReadableTensor tensor, const GgufAdapter& adapter, const ModuleTable* base) {
  constexpr std::string_view kA = ".weight.lora_a", kB = ".weight.lora_b", kGain = ".weight";
  const std::string name = tensor.info.name;
  const std::string_view ending = name.ends_with(kA) ? kA : name.ends_with(kB) ? kB : kGain;
  if (!name.ends_with(ending)) return refuse_tensor_of("llama.cpp", tensor);
  std::optional<std::string> path = path_of_gguf(*adapter.architecture, std::string_view(name).substr(0, name.size() - ending.size()));
  const bool is_norm = path && path->ends_with("norm");
  if (!path || is_norm != (ending == kGain) || (is_norm && adapter.architecture->has_whole_gains) ||
      tensor.info.shape.size() != (is_norm ? 1u : 2u))
    return refuse_tensor_of("llama.cpp", tensor);
  if (is_norm) {
    rename_tensor(tensor, *path, "weight");
    return ConvertedTensor{std::move(tensor), *std::move(path), 0, true};
  }
  const bool is_embedding = path->ends_with("embed_tokens");
  if (ending == kA) {
    if (is_embedding) tensor = transposed(std::move(tensor));
    rename_tensor(tensor, *path, is_embedding ? "lora_embedding_A" : "lora_A.weight");
    const std::int64_t rank = tensor.info.shape[0];
    return ConvertedTensor{std::move(tensor), *std::move(path), rank};
  }
  rename_tensor(tensor, *path, is_embedding ? "lora_embedding_B" : "lora_B.weight");
  if (!adapter.architecture->has_pairs_together) return ConvertedTensor{std::move(tensor), *std::move(path)};
  Result<ReadableTensor> ordered = in_order_of_base(std::move(tensor), *path, base);
  if (!ordered) return forward_error(ordered);
  return ConvertedTensor{std::move(*ordered), *std::move(path)};
}

Result<PeftForm> convert_gguf(const GgufFile& file, const ModuleTable* base) {
  const Result<GgufAdapter> adapter = read_entries(file);
  if (!adapter) return tl::unexpected(adapter.error());
  PeftForm form;
  std::vector<std::string> targets, saved;
  Json ranks(Json::value_t::object);  // of the modules whose rank is not that of the first
  std::int64_t first_rank = 0;
  for (const GgufTensor& tensor : file.tensors) {
    if (tensor.type->is_quantised() && tensor.type->name != "Q8_0") {
      return error("E_DTYPE", "tensor {}: expected F32, F16, BF16 or Q8_0, found {}", quote(tensor.info.name), tensor.type->name);
    }
    Result<ConvertedTensor> converted = convert_gguf_tensor(readable_tensor(file, tensor), *adapter, base);
    if (!converted) return forward_error(converted);
    if (first_rank == 0) first_rank = converted->rank;
    if (converted->rank != 0 && converted->rank != first_rank)
      ranks.get_ref<Json::object_t&>().push_back({converted->path, converted->rank});
    (converted->is_norm ? saved : targets).push_back(std::move(converted->path));
    form.tensors.push_back(std::move(converted->tensor));
  }
  Json config = lora_config(text_of(file, "general.base_model.0.name"));
  config["r"] = first_rank;
  config["lora_alpha"] = adapter->alpha;
  config["rank_pattern"] = std::move(ranks);
  config["target_modules"] = module_list(std::move(targets));
  if (!saved.empty()) config["modules_to_save"] = module_list(std::move(saved));
  if (!adapter->invocation_tokens.empty()) config["alora_invocation_tokens"] = adapter->invocation_tokens;
  form.config = text_of_config(config);
  return form;
}

}  // namespace

Result<PeftForm> read_gguf_adapter(ReadOnlyFile file, const ModuleTable* base) {
  const std::string name = file.name();
  const Result<GgufFile> gguf = read_gguf(std::move(file));
  if (!gguf) return tl::unexpected(gguf.error());
  Result<PeftForm> form = convert_gguf(*gguf, base);
  if (!form) return error(form.error().code, "{}: {}", name, form.error().message);
  return form;
}

}  // namespace slora
