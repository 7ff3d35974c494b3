#include "adapters/adapter_watcher.h"

#include <filesystem>
#include <set>
#include <utility>

#include "adapters/adapter_roots.h"
#include "base/log.h"

namespace slora {
namespace {

std::string name_of_folder(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

AdapterWatcher::AdapterWatcher(AdapterStore& store, const std::vector<std::string>& roots) : store_(store) {
  std::set<std::string> served;
  for (const AdapterListing& adapter : store_.list()) served.insert(adapter.folder);
  for (const std::string& root : roots) {
    for (const std::string& path : adapter_folders_of(root).value_or(std::vector<std::string>())) {
      if (served.contains(path)) folders_.try_emplace(path, Folder{.root_index = roots_.size(), .is_settled = true});
    }
    roots_.push_back({root});
  }
}

void AdapterWatcher::look() {
  for (auto& [path, folder] : folders_) folder.is_there = false;
  for (std::size_t i = 0; i < roots_.size(); ++i) look_at_root(i);
  forget_missing();
}

void AdapterWatcher::look_at_root(std::size_t root_index) {
  Root& root = roots_[root_index];
  const Result<std::vector<std::string>> found = adapter_folders_of(root.path);
  const bool was_listed = std::exchange(root.was_listed, found.has_value());
  if (found) {
    for (const std::string& path : *found) look_at_folder(root_index, path);
    return;
  }
  // A disk that is away for a while takes no names away.
  if (was_listed) log_warning("--watch-adapters: {}", found.error().message);
  for (auto& [path, folder] : folders_) folder.is_there = folder.is_there || folder.root_index == root_index;
}

void AdapterWatcher::look_at_folder(std::size_t root_index, const std::string& path) {
  const auto [at, is_new] = folders_.try_emplace(path, Folder{.root_index = root_index});
  Folder& folder = at->second;
  folder.is_there = true;
  if (folder.is_settled) return;
  const FolderStamp stamp = stamp_of(path);
  const bool rests = !is_new && stamp == folder.stamp && is_complete_adapter_folder(path);
  folder.stamp = stamp;
  if (!rests) return;
  folder.is_settled = true;
  const std::string name = name_of_folder(path);
  if (const Status added = store_.add_new_folder(name, path); !added) {
    log_warning("--watch-adapters: folder {} is left out: {}", path, added.error().message);
  } else {
    log_info("--watch-adapters: adapter \"{}\" has come", name);
  }
}

void AdapterWatcher::forget_missing() {
  for (auto at = folders_.begin(); at != folders_.end();) {
    const auto& [path, folder] = *at;
    if (folder.is_there) {
      ++at;
      continue;
    }
    const std::string name = name_of_folder(path);
    if (store_.remove_folder(name, path)) log_info("--watch-adapters: adapter \"{}\" has gone", name);
    at = folders_.erase(at);
  }
}

}  // namespace slora
