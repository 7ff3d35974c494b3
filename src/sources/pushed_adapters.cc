#include "sources/pushed_adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "formats/safetensors.h"

namespace slora {
namespace {

constexpr std::size_t kLengthBytes = 8;  // before the header

// The text of the config within the file.
Result<std::string> config_in(std::string_view file) {
  std::uint64_t header_bytes = 0;
  if (file.size() < kLengthBytes) return error("E_SAFETENSORS", "the body: expected a safetensors file, found {} bytes", file.size());
  std::memcpy(&header_bytes, file.data(), kLengthBytes);  // little-endian, as every supported host
  if (header_bytes > file.size() - kLengthBytes || header_bytes > SafetensorsLimits().header_bytes_max) {
    return error("E_SAFETENSORS", "the body: expected a safetensors file, found a header of {} bytes in a body of {}", header_bytes,
                 file.size());
  }
  const Result<SafetensorsHeader> header = parse_safetensors_header(file.substr(kLengthBytes, header_bytes), file.size());
  if (!header) return tl::unexpected(header.error());
  const auto at = std::ranges::find(header->metadata, std::string_view("adapter_config"), &std::pair<std::string, std::string>::first);
  if (at == header->metadata.end()) {
    return error("E_NO_CONFIG", "the body: expected the text of an adapter_config.json in the file's metadata, as \"adapter_config\"");
  }
  return at->second;
}

bool try_write(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  return file.flush().good();
}

}  // namespace

Result<FolderPath> PushedAdapters::write(const std::string& name, std::string_view file) {
  Result<std::string> config = config_in(file);
  if (!config) return forward_error(config);
  const std::uint64_t bytes = file.size() + config->size();

  const std::lock_guard lock(mutex_);
  if (!folder_) {
    Result<TemporaryFolder> made = TemporaryFolder::create();
    if (!made) return forward_error(made);
    folder_.emplace(std::move(*made));
  }
  std::vector<Pushed>& pushed = by_name_[name];
  shorten(pushed, kKeptCount - 1);
  if (bytes_ + bytes > bytes_max_) {
    return error("E_TOO_LARGE",
                 "the body: {} bytes do not fit next to the other adapters that were pushed, of {} in all (--adapter-push-memory)", bytes,
                 bytes_max_);
  }
  pushed.push_back({fmt::format("{}", ++count_), bytes});
  bytes_ += bytes;
  const std::string folder = folder_->path() + "/" + pushed.back().folder;
  std::error_code failure;
  std::filesystem::create_directory(folder, failure);
  if (failure || !try_write(folder + "/adapter_config.json", *config) || !try_write(folder + "/adapter_model.safetensors", file)) {
    remove(pushed.back());
    pushed.pop_back();
    return error("E_WRITE", "the temporary folder can't be written");
  }
  return FolderPath::beneath(folder_->path(), pushed.back().folder);
}

void PushedAdapters::take_back(const std::string& name, const FolderPath& folder) {
  const std::lock_guard lock(mutex_);
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return;
  std::vector<Pushed>& pushed = at->second;
  // The name may have been pushed again since.
  const auto refused = std::ranges::find_if(pushed, [&](const Pushed& each) { return folder_->path() + "/" + each.folder == folder.path; });
  if (refused == pushed.end()) return;
  remove(*refused);
  pushed.erase(refused);
}

void PushedAdapters::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return;
  shorten(at->second, 0);
  by_name_.erase(at);
}

void PushedAdapters::remove(const Pushed& pushed) {
  std::error_code ignored;
  std::filesystem::remove_all(folder_->path() + "/" + pushed.folder, ignored);
  bytes_ -= pushed.bytes;
}

void PushedAdapters::shorten(std::vector<Pushed>& pushed, std::size_t count_max) {
  while (pushed.size() > count_max) {
    remove(pushed.front());
    pushed.erase(pushed.begin());
  }
}

}  // namespace slora
