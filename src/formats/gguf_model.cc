#include "formats/gguf_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

namespace slora {
namespace {

constexpr std::string_view kEnding = ".gguf";
constexpr std::int64_t kGgufShardsMax = 512;  // each file stays open
constexpr std::string_view kRopeFactors[] = {"rope_freqs.weight", "rope_factors_short.weight",
                                             "rope_factors_long.weight"};  // read with the config

// "-00001-of-00003.gguf"
std::string shard_ending(std::int64_t index, std::int64_t count) { return fmt::format("-{:05}-of-{:05}{}", index + 1, count, kEnding); }

tl::unexpected<Error> in_gguf(const GgufFile& file, const Error& why) { return error(why.code, "{}: {}", file.file->name(), why.message); }

Result<GgufFile> open_shard(const std::string& path) {
  Result<ReadOnlyFile> file = ReadOnlyFile::open(path);
  if (!file) return forward_error(file);
  return read_gguf(std::move(*file), kGgufModelLimits);
}

// How many shards the model has; nothing: it is not cut.
Result<std::optional<std::int64_t>> shard_count_of(const GgufFile& file) {
  const GgufValue* const value = file.find("split.count");
  if (value == nullptr) return std::nullopt;
  const auto* const count = std::get_if<std::int64_t>(value);
  if (count == nullptr || *count < 0 || *count > kGgufShardsMax) {
    return error("E_GGUF", "{}: entry \"split.count\": expected an integer from 0 to {}, found {}", file.file->name(), kGgufShardsMax,
                 count != nullptr ? fmt::format("{}", *count) : std::string(type_name(*value)));
  }
  return *count > 1 ? std::optional(*count) : std::nullopt;
}

Result<std::vector<GgufFile>> open_gguf_shards(const std::string& path, GgufFile opened, std::int64_t count) {
  std::string stem;
  for (std::int64_t i = 0; i < count; ++i) {
    if (path.ends_with(shard_ending(i, count))) stem = path.substr(0, path.size() - shard_ending(i, count).size());
  }
  if (stem.empty()) {
    return error("E_GGUF", "{}: expected a name that ends in {}, as \"split.count\" is {}", opened.file->name(), shard_ending(0, count),
                 count);
  }
  std::vector<GgufFile> shards;
  std::unordered_set<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) {
    Result<GgufFile> shard = open_shard(stem + shard_ending(i, count));
    if (!shard) return forward_error(shard);
    const std::string& name = shard->file->name();
    const auto* const index = shard->find_as<std::int64_t>("split.no");
    if (index == nullptr || *index != i)
      return error("E_GGUF", "{}: entry \"split.no\": expected {}, found {}", name, i,
                   index != nullptr ? fmt::format("{}", *index) : "none");
    const Result<std::optional<std::int64_t>> its_count = shard_count_of(*shard);
    if (!its_count) return tl::unexpected(its_count.error());
    if (its_count->value_or(1) != count)
      return error("E_GGUF", "{}: entry \"split.count\": expected {}, as in the other shards, found {}", name, count,
                   its_count->value_or(1));
    for (const GgufTensor& tensor : shard->tensors) {
      if (!names.insert(tensor.info.name).second)
        return error("E_GGUF", "{}: tensor {}: expected it in one shard, found it in an earlier one too", name, quote(tensor.info.name));
    }
    shards.push_back(std::move(*shard));
  }
  const auto* const total = shards.front().find_as<std::int64_t>("split.tensors.count");
  if (total != nullptr && *total != static_cast<std::int64_t>(names.size()))
    return error("E_GGUF", "{}: entry \"split.tensors.count\": expected {}, as the shards have, found {}", shards.front().file->name(),
                 names.size(), *total);
  return shards;
}

Result<const GgufArchitecture*> architecture_of(const GgufFile& file) {
  if (const auto* const type = file.find_as<std::string>("general.type"); type != nullptr && *type != "model") {
    return error("E_UNSUPPORTED_MODEL", "entry \"general.type\": expected model, found {}", quote(*type));
  }
  const auto* const name = file.find_as<std::string>("general.architecture");
  if (name == nullptr)
    return error("E_MODEL_CONFIG", "entry \"general.architecture\": expected a text, found {}",
                 file.find("general.architecture") != nullptr ? type_name(*file.find("general.architecture")) : "none");
  const GgufArchitecture* const found = find_gguf_architecture(*name);
  if (found == nullptr)
    return error("E_UNSUPPORTED_MODEL", "entry \"general.architecture\": expected {}, found {}", gguf_architecture_names(), quote(*name));
  return found;
}

// What is made of one model's tensors.
class TensorConverter {
 public:
  TensorConverter(const GgufModel& model, const Json& config) : model_(model), config_(config) {}

  Status add(const GgufFile& file, std::size_t file_index, const GgufTensor& tensor) {
    const std::string& name = tensor.info.name;
    if (std::ranges::find(kRopeFactors, name) != std::end(kRopeFactors)) return {};
    const std::size_t dot = name.rfind('.');
    const std::string ending = dot == std::string::npos ? "" : name.substr(dot);
    const std::optional<std::string> path =
        dot == std::string::npos ? std::nullopt : path_of_gguf(*model_.architecture, std::string_view(name).substr(0, dot));
    if (!path || (ending != ".weight" && ending != ".bias")) {
      return error("E_UNKNOWN_TENSOR", "{}: tensor {}: expected a tensor of {} models, found another", file.file->name(), quote(name),
                   model_.architecture->name);
    }
    if (tensor.info.shape.empty() || tensor.info.shape.size() > 2 || tensor.info.bytes == 0) {
      return error("E_SHAPE", "{}: tensor {}: expected one or two dimensions, none of them 0, found [{}]", file.file->name(), quote(name),
                   fmt::join(tensor.info.shape, ", "));
    }
    const std::int64_t heads = heads_of_rows(*path);
    if (heads != 0 && tensor.info.shape[0] % (2 * heads) != 0) {
      return error("E_SHAPE", "{}: tensor {}: expected rows of {} heads of pairs, found {}", file.file->name(), quote(name), heads,
                   tensor.info.shape[0]);
    }
    const bool is_whole_gain = model_.architecture->has_whole_gains && path->ends_with("norm");
    if (is_whole_gain && (tensor.info.shape.size() != 1 || tensor.type->name != "F32")) {
      return error("E_DTYPE", "{}: tensor {}: expected a vector of F32, found {} dimensions of {}", file.file->name(), quote(name),
                   tensor.info.shape.size(), tensor.type->name);
    }
    auto form = is_whole_gain ? gguf_gain_form(file.file, tensor) : gguf_form(file.file, tensor, heads);
    ModelTensor& added = tensors_.emplace_back(ModelTensor{tensor.info, file_index, std::move(form)});
    added.info.name = *path + ending;
    return {};
  }

  std::vector<ModelTensor> take() && { return std::move(tensors_); }

 private:
  // Of a tensor whose rows have Meta's order; 0: they don't.
  [[nodiscard]] std::int64_t heads_of_rows(std::string_view path) const {
    if (!model_.architecture->has_pairs_together) return 0;
    if (path.ends_with("self_attn.q_proj")) return config_["num_attention_heads"].get<std::int64_t>();
    if (path.ends_with("self_attn.k_proj")) return config_["num_key_value_heads"].get<std::int64_t>();
    return 0;
  }

  const GgufModel& model_;
  const Json& config_;
  std::vector<ModelTensor> tensors_;
};

}  // namespace

const GgufTensor* GgufModel::find_tensor(std::string_view name) const {
  for (const GgufFile& shard : shards) {
    const auto at = std::ranges::find(shard.tensors, name, [](const GgufTensor& tensor) -> std::string_view { return tensor.info.name; });
    if (at != shard.tensors.end()) return &*at;
  }
  return nullptr;
}

Result<GgufModel> open_gguf_model(const std::string& path) {
  Result<GgufFile> opened = open_shard(path);
  if (!opened) return forward_error(opened);
  const Result<std::optional<std::int64_t>> count = shard_count_of(*opened);
  if (!count) return tl::unexpected(count.error());
  std::vector<GgufFile> shards;
  if (!*count) {
    shards.push_back(std::move(*opened));
  } else {
    Result<std::vector<GgufFile>> found = open_gguf_shards(path, std::move(*opened), **count);
    if (!found) return forward_error(found);
    shards = std::move(*found);
  }
  return gguf_model_of(std::move(shards));
}

Result<GgufModel> gguf_model_of(std::vector<GgufFile> shards) {
  GgufModel model;
  model.shards = std::move(shards);
  const Result<const GgufArchitecture*> architecture = architecture_of(model.head());
  if (!architecture) return in_gguf(model.head(), architecture.error());
  model.architecture = *architecture;
  return model;
}

Result<ModelFiles> files_of_gguf(const GgufModel& model, const Json& config) {
  TensorConverter converter(model, config);
  std::vector<std::string> names;
  std::uint64_t bytes = 0;
  for (const GgufFile& shard : model.shards) {
    for (const GgufTensor& tensor : shard.tensors) {
      bytes += tensor.stored_bytes;
      if (Status added = converter.add(shard, names.size(), tensor); !added) return forward_error(added);
    }
    names.push_back(shard.file->name());
  }
  return ModelFiles::of_forms(std::move(names), std::move(converter).take(), bytes);
}

}  // namespace slora
