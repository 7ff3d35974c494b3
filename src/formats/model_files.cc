#include "formats/model_files.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::size_t kShardsMax = 512;  // each file stays open
constexpr JsonLimits kIndexLimits{.bytes_max = std::size_t{64} << 20, .depth_max = 8, .values_max = std::size_t{2} << 20};

// The tensors that the index assigns to each shard, in the order of the index.
using ShardMap = std::map<std::string, std::vector<std::string>>;

tl::unexpected<Error> refuse(std::string_view what) { return error("E_MODEL_FILES", "{}: {}", kIndexFile, what); }

Result<ShardMap> parse_index(const Json& index) {
  const Json* weight_map = index.is_object() ? find_member(index, "weight_map") : nullptr;
  if (weight_map == nullptr || !weight_map->is_object() || weight_map->empty())
    return refuse("expected an object \"weight_map\" that names tensors");
  ShardMap shards;
  for (const auto& [tensor, file] : weight_map->get_ref<const Json::object_t&>()) {
    if (!file.is_string()) return refuse(fmt::format("tensor {}: expected a file name, found {}", quote(tensor), shown(file)));
    const auto& name = file.get_ref<const std::string&>();
    if (!name.ends_with(".safetensors") || name.find('/') != std::string::npos) {
      return refuse(fmt::format("tensor {}: expected a .safetensors file of the same folder, found {}", quote(tensor), quote(name)));
    }
    shards[name].push_back(tensor);
    if (shards.size() > kShardsMax) return refuse(fmt::format("expected at most {} files, found more", kShardsMax));
  }
  return shards;
}

// The index and the shard must name the same tensors.
Status compare(const SafetensorsFile& file, const std::vector<std::string>& indexed) {
  for (const std::string& tensor : indexed) {
    if (file.find(tensor) == nullptr)
      return refuse(fmt::format("tensor {}: expected in {}, which has no such tensor", quote(tensor), file.name()));
  }
  if (file.tensors().size() == indexed.size()) return {};
  std::vector<std::string_view> sorted(indexed.begin(), indexed.end());
  std::sort(sorted.begin(), sorted.end());
  for (const TensorInfo& tensor : file.tensors()) {
    if (std::binary_search(sorted.begin(), sorted.end(), tensor.name)) continue;
    return refuse(fmt::format("tensor {} lies in {}, but the index does not place it there", quote(tensor.name), file.name()));
  }
  return {};
}

Result<std::vector<SafetensorsFile>> open_shards(const std::string& folder, const ShardMap& shards) {
  std::vector<SafetensorsFile> files;
  for (const auto& [name, tensors] : shards) {
    Result<SafetensorsFile> file = SafetensorsFile::open(folder + "/" + name, kModelFileLimits);
    if (!file) return forward_error(file);
    if (Status same = compare(*file, tensors); !same) return forward_error(same);
    files.push_back(std::move(*file));
  }
  return files;
}

Result<std::vector<SafetensorsFile>> open_files(const std::string& folder) {
  Result<SafetensorsFile> single = SafetensorsFile::open(fmt::format("{}/{}", folder, kSingleFile), kModelFileLimits);
  if (single) {
    std::vector<SafetensorsFile> files;
    files.push_back(std::move(*single));
    return files;
  }
  if (single.error().code != "E_NO_FILE") return forward_error(single);

  Result<Json> index = read_json_file(fmt::format("{}/{}", folder, kIndexFile), kIndexLimits);
  if (!index && index.error().code == "E_NO_FILE") {
    return error("E_MODEL_FILES",
                 "expected {} or {} in the model folder, found neither; weights in other formats have to be converted to safetensors",
                 kSingleFile, kIndexFile);
  }
  if (!index) return forward_error(index);
  Result<ShardMap> shards = parse_index(*index);
  if (!shards) return forward_error(shards);
  return open_shards(folder, *shards);
}

}  // namespace

Result<ModelFiles> ModelFiles::open(const std::string& folder) {
  Result<std::vector<SafetensorsFile>> files = open_files(folder);
  if (!files) return forward_error(files);
  ModelFiles model;
  model.files_ = std::move(*files);
  for (std::size_t i = 0; i < model.files_.size(); ++i) {
    for (const TensorInfo& tensor : model.files_[i].tensors()) {
      model.tensors_.push_back({tensor, i});
      model.total_bytes_ += tensor.bytes;
    }
  }
  std::sort(model.tensors_.begin(), model.tensors_.end(),
            [](const ModelTensor& a, const ModelTensor& b) { return a.info.name < b.info.name; });
  return model;
}

const ModelTensor* ModelFiles::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const ModelTensor& tensor, std::string_view wanted) { return tensor.info.name < wanted; });
  return at != tensors_.end() && at->info.name == name ? &*at : nullptr;
}

Status ModelFiles::read(const ModelTensor& tensor, std::span<std::byte> out) const {
  return files_[tensor.file_index].read(tensor.info, out);
}

Status ModelFiles::read_part(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const {
  return files_[tensor.file_index].read_part(tensor.info, begin, out);
}

}  // namespace slora
