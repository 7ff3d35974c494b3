#include "formats/model_files.h"

#include <fmt/ranges.h>

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
constexpr std::size_t kIndexWarningsMax = 64;
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

// Opens the files that the index names. Every tensor that it names must lie in one of them.
Result<std::vector<SafetensorsFile>> open_shards(const std::string& folder, const ShardMap& shards, std::vector<std::string>& warnings) {
  std::vector<SafetensorsFile> files;
  for (const auto& [name, tensors] : shards) {
    Result<SafetensorsFile> file = SafetensorsFile::open(folder + "/" + name, kModelFileLimits);
    if (!file) return forward_error(file);
    files.push_back(std::move(*file));
  }
  std::size_t index = 0, listed = 0, stored = 0;
  for (const auto& [name, tensors] : shards) {
    const SafetensorsFile& file = files[index++];
    listed += tensors.size();
    stored += file.tensors().size();
    for (const std::string& tensor : tensors) {
      if (file.find(tensor) != nullptr) continue;
      const auto other = std::ranges::find_if(files, [&](const SafetensorsFile& shard) { return shard.find(tensor) != nullptr; });
      if (other == files.end()) return refuse(fmt::format("tensor {}: expected in {}, which has no such tensor", quote(tensor), name));
      warnings.push_back(fmt::format("{}: tensor {} lies in {}, not in {}", kIndexFile, quote(tensor), other->name(), name));
      if (warnings.size() > kIndexWarningsMax) return refuse("expected an index of these files, found one that misplaces many tensors");
    }
  }
  if (stored > listed) warnings.push_back(fmt::format("{}: names {} tensors, the files hold {}", kIndexFile, listed, stored));
  return files;
}

Result<std::vector<SafetensorsFile>> open_files(const std::string& folder, std::vector<std::string>& warnings) {
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
  return open_shards(folder, *shards, warnings);
}

}  // namespace

Result<ModelFiles> ModelFiles::open(const std::string& folder) {
  ModelFiles model;
  Result<std::vector<SafetensorsFile>> files = open_files(folder, model.warnings_);
  if (!files) return forward_error(files);
  for (SafetensorsFile& file : *files) {
    for (const TensorInfo& tensor : file.tensors()) {
      model.tensors_.push_back({tensor, model.files_.size(), nullptr});
      model.total_bytes_ += tensor.bytes;
    }
    model.names_.push_back(file.name());
    model.files_.push_back(std::make_shared<const SafetensorsFile>(std::move(file)));
  }
  model.sort();
  if (Status merged = model.merge_duplicates(); !merged) return forward_error(merged);
  return model;
}

ModelFiles ModelFiles::of_forms(std::vector<std::string> file_names, std::vector<ModelTensor> tensors, std::uint64_t total_bytes) {
  ModelFiles model;
  model.names_ = std::move(file_names);
  model.tensors_ = std::move(tensors);
  model.total_bytes_ = total_bytes;
  for (const ModelTensor& tensor : model.tensors_) {
    check(tensor.form != nullptr && tensor.file_index < model.names_.size(), "expected forms that read from the files");
  }
  model.sort();
  const auto twice = std::ranges::adjacent_find(model.tensors_, {}, [](const ModelTensor& tensor) { return tensor.info.name; });
  check(twice == model.tensors_.end(), "expected each name once");
  return model;
}

void ModelFiles::sort() {
  std::ranges::stable_sort(tensors_, {}, [](const ModelTensor& tensor) -> std::string_view { return tensor.info.name; });
}

// Keeps the first of the tensors of one name, if all are the same.
Status ModelFiles::merge_duplicates() {
  std::vector<ModelTensor> unique;
  for (ModelTensor& tensor : tensors_) {
    if (unique.empty() || unique.back().info.name != tensor.info.name) {
      unique.push_back(std::move(tensor));
      continue;
    }
    const ModelTensor& first = unique.back();
    const Result<bool> equal = are_equal(first, tensor);
    if (!equal) return tl::unexpected(equal.error());
    if (!*equal)
      return refuse(fmt::format("tensor {} differs between {} and {}", quote(tensor.info.name), file_of(first), file_of(tensor)));
  }
  tensors_ = std::move(unique);
  return {};
}

Result<bool> ModelFiles::are_equal(const ModelTensor& a, const ModelTensor& b) const {
  if (a.info.dtype != b.info.dtype || a.info.shape != b.info.shape) return false;
  constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << 20;
  std::vector<std::byte> of_a(std::min(kChunkBytes, a.info.bytes)), of_b(of_a.size());
  for (std::uint64_t begin = 0; begin < a.info.bytes; begin += kChunkBytes) {
    const auto count = static_cast<std::size_t>(std::min(kChunkBytes, a.info.bytes - begin));
    if (Status read = read_part(a, begin, std::span(of_a).first(count)); !read) return forward_error(read);
    if (Status read = read_part(b, begin, std::span(of_b).first(count)); !read) return forward_error(read);
    if (!std::ranges::equal(std::span(of_a).first(count), std::span(of_b).first(count))) return false;
  }
  return true;
}

void ModelFiles::remove(std::string_view name) {
  const std::string names[] = {std::string(name)};
  remove(names);
}

void ModelFiles::remove(std::span<const std::string> names) {
  std::vector<bool> is_left_out(tensors_.size());
  for (const std::string& name : names) {
    const ModelTensor* tensor = find(name);
    check(tensor != nullptr, "expected a tensor of the files");
    total_bytes_ -= tensor->info.bytes;
    is_left_out[static_cast<std::size_t>(tensor - tensors_.data())] = true;
  }
  std::erase_if(tensors_, [&](const ModelTensor& tensor) { return is_left_out[static_cast<std::size_t>(&tensor - tensors_.data())]; });
}

void ModelFiles::rename(std::string_view name, std::string to) {
  check(find(to) == nullptr, "expected a new name");
  ModelTensor& tensor = at(name);
  tensor.info.name = std::move(to);
  move_to_place(tensor);
}

void ModelFiles::read_through(std::string_view name, TensorInfo info, std::shared_ptr<const TensorForm> form) {
  check(info.name == name || find(info.name) == nullptr, "expected a new name");
  ModelTensor& tensor = at(name);
  total_bytes_ = total_bytes_ - tensor.info.bytes + info.bytes;
  info.offset = tensor.info.offset;
  tensor.info = std::move(info);
  tensor.form = std::move(form);
  move_to_place(tensor);
}

void ModelFiles::move_to_place(const ModelTensor& moved) {
  const auto is_before = [](const ModelTensor& a, const ModelTensor& b) { return a.info.name < b.info.name; };
  const auto place = tensors_.begin() + (&moved - tensors_.data());
  const auto later = std::upper_bound(place + 1, tensors_.end(), moved, is_before);
  if (later != place + 1) {
    std::rotate(place, place + 1, later);
  } else {
    std::rotate(std::lower_bound(tensors_.begin(), place, moved, is_before), place, place + 1);
  }
}

StoredTensor ModelFiles::stored(const ModelTensor& tensor) const {
  check(tensor.form == nullptr, "expected a tensor that is read as it lies in its file");
  return {files_[tensor.file_index], tensor.info};
}

ModelTensor& ModelFiles::at(std::string_view name) {
  const ModelTensor* tensor = find(name);
  check(tensor != nullptr, "expected a tensor of the files");
  return tensors_[static_cast<std::size_t>(tensor - tensors_.data())];
}

const ModelTensor* ModelFiles::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const ModelTensor& tensor, std::string_view wanted) { return tensor.info.name < wanted; });
  return at != tensors_.end() && at->info.name == name ? &*at : nullptr;
}

Status ModelFiles::read(const ModelTensor& tensor, std::span<std::byte> out) const { return read_part(tensor, 0, out); }

Status ModelFiles::read_part(const ModelTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const {
  if (tensor.form == nullptr) return files_[tensor.file_index]->read_part(tensor.info, begin, out);
  const std::uint64_t row = row_bytes(tensor.info), end = begin + out.size();
  const std::uint64_t first = begin / row, last = (end + row - 1) / row;
  const auto first_row = static_cast<std::int64_t>(first);
  if (first * row == begin && last * row == end) return tensor.form->read_rows(first_row, out);
  std::vector<std::byte> rows((last - first) * row);
  if (Status read = tensor.form->read_rows(first_row, rows); !read) return read;
  std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(begin - first * row), out.size(), out.begin());
  return {};
}

std::string shown_stored_types(const ModelFiles& files) {
  std::map<std::string_view, std::size_t> counts;
  for (const ModelTensor& tensor : files.tensors()) {
    const std::string_view stored = tensor.form != nullptr ? tensor.form->stored_as() : std::string_view();
    ++counts[stored.empty() ? name_of(tensor.info.dtype) : stored];
  }
  std::vector<std::string> shown;
  for (const auto& [type, count] : counts) shown.push_back(fmt::format("{} in {}", count, type));
  return fmt::format("{}", fmt::join(shown, ", "));
}

}  // namespace slora
