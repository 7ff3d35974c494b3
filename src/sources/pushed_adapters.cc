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

Result<std::shared_ptr<PushedAdapters::Push>> PushedAdapters::begin(const std::string& name) {
  auto push = std::make_shared<Push>(*this, name);
  const std::lock_guard lock(mutex_);
  Name& entry = names_[name];
  if (entry.under_way == nullptr) {
    entry.under_way = push.get();
    push->has_ended_ = false;
    return push;
  }
  return error("E_PUSH_UNDER_WAY", "another request sends tensors of adapter \"{}\"; send these when that one is answered", name);
}

bool PushedAdapters::forget(const std::string& name, const std::function<bool()>& remove) {
  std::vector<Pushed> removed;
  bool was_there = false;
  {
    const std::lock_guard lock(mutex_);
    was_there = remove();
    const auto at = names_.find(name);
    if (at == names_.end()) return was_there;
    removed = std::exchange(at->second.kept, {});
    if (at->second.under_way != nullptr) {
      at->second.under_way->is_forgotten_ = true;
    } else {
      names_.erase(at);
    }
  }
  remove_folders(removed);
  return was_there;
}

// Space for a new folder of the name, which may take that of its folder before the latest.
Result<PushedAdapters::Pushed> PushedAdapters::reserve(const std::string& name, std::uint64_t bytes) {
  std::vector<Pushed> removed;
  {
    const std::lock_guard lock(mutex_);
    if (!folder_) {
      Result<TemporaryFolder> made = TemporaryFolder::create();
      if (!made) return forward_error(made);
      folder_.emplace(std::move(*made));
    }
    std::vector<Pushed>& kept = names_[name].kept;
    while (kept.size() >= kKeptCount) {
      removed.push_back(std::move(kept.front()));
      kept.erase(kept.begin());
    }
  }
  remove_folders(removed);
  const std::lock_guard lock(mutex_);
  if (bytes_ + bytes > bytes_max_) {
    return error("E_TOO_LARGE",
                 "the body: {} bytes do not fit next to the other adapters that were pushed, of {} in all (--adapter-push-memory)", bytes,
                 bytes_max_);
  }
  bytes_ += bytes;
  return Pushed{fmt::format("{}", ++count_), bytes};
}

// Files first: their space is free when others may have it. Without the lock, for others wait for that while they serve requests.
void PushedAdapters::remove_folders(const std::vector<Pushed>& removed) {
  std::uint64_t bytes = 0;
  for (const Pushed& pushed : removed) {
    std::error_code ignored;
    std::filesystem::remove_all(path_of(pushed), ignored);
    bytes += pushed.bytes;
  }
  const std::lock_guard lock(mutex_);
  bytes_ -= bytes;
}

Result<FolderPath> PushedAdapters::Push::write(std::string_view file) {
  Result<std::string> config = config_in(file);
  if (!config) return forward_error(config);
  Result<Pushed> reserved = all_.reserve(name_, file.size() + config->size());
  if (!reserved) return forward_error(reserved);
  const std::string folder = all_.path_of(*reserved);
  const FolderPath path = FolderPath::beneath(all_.folder_->path(), reserved->folder);
  {
    const std::lock_guard lock(all_.mutex_);
    written_ = *std::move(reserved);
  }
  std::error_code failure;
  std::filesystem::create_directory(folder, failure);
  if (failure || !try_write(folder + "/adapter_config.json", *config) || !try_write(folder + "/adapter_model.safetensors", file))
    return error("E_WRITE", "the temporary folder can't be written");
  return path;
}

// Under the lock: forget() comes before, and nothing is installed, or after, and the name is unloaded then.
Status PushedAdapters::Push::keep(const std::function<Status()>& install) {
  Status kept;
  {
    const std::lock_guard lock(all_.mutex_);
    Name& entry = all_.names_.at(name_);
    entry.kept.reserve(entry.kept.size() + 1);  // so that nothing can fail once it is installed
    if (is_forgotten_) {
      kept = error("E_UNLOADED", "adapter \"{}\" was unloaded while its tensors were read", name_);
    } else {
      kept = install();
    }
    if (kept) {
      entry.kept.push_back(*std::exchange(written_, std::nullopt));
      entry.under_way = nullptr;
      has_ended_ = true;
    }
  }
  drop();
  return kept;
}

void PushedAdapters::Push::drop() {
  std::optional<Pushed> written;
  {
    const std::lock_guard lock(all_.mutex_);
    if (has_ended_) return;
    written = std::exchange(written_, std::nullopt);
  }
  if (written) all_.remove_folders({*written});
  const std::lock_guard lock(all_.mutex_);
  has_ended_ = true;
  const auto at = all_.names_.find(name_);
  at->second.under_way = nullptr;
  if (at->second.kept.empty()) all_.names_.erase(at);
}

}  // namespace slora
