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

void AdapterWatcher::scan() {
  for (auto& [path, folder] : folders_) folder.exists = false;
  for (std::size_t i = 0; i < roots_.size(); ++i) scan_root(i);
  forget_missing();
}

void AdapterWatcher::scan_root(std::size_t root_index) {
  Root& root = roots_[root_index];
  const Result<std::vector<std::string>> found = adapter_folders_of(root.path);
  const bool was_listed = std::exchange(root.was_listed, found.has_value());
  if (found) {
    for (const std::string& path : *found) scan_folder(root_index, path);
    return;
  }
  // A disk that is unmounted for a while must not remove names.
  if (was_listed) log_warning("--watch-adapters: {}", found.error().message);
  for (auto& [path, folder] : folders_) folder.exists = folder.exists || folder.root_index == root_index;
}

void AdapterWatcher::scan_folder(std::size_t root_index, const std::string& path) {
  const auto [at, is_new] = folders_.try_emplace(path, Folder{.root_index = root_index});
  Folder& folder = at->second;
  folder.exists = true;
  if (folder.is_settled) return;
  const FolderStamp stamp = stamp_of(path);
  const bool is_unchanged = !is_new && stamp == folder.stamp && is_complete_adapter_folder(path);
  folder.stamp = stamp;
  if (!is_unchanged) return;
  folder.is_settled = true;
  const std::string name = name_of_folder(path);
  if (const Status added = store_.add_new_folder(name, path); !added) {
    log_warning("--watch-adapters: folder {} is skipped: {}", path, added.error().message);
  } else {
    log_info("--watch-adapters: added adapter \"{}\"", name);
  }
}

void AdapterWatcher::forget_missing() {
  for (auto at = folders_.begin(); at != folders_.end();) {
    const auto& [path, folder] = *at;
    if (folder.exists) {
      ++at;
      continue;
    }
    const std::string name = name_of_folder(path);
    if (store_.remove_folder(name, path)) log_info("--watch-adapters: removed adapter \"{}\"", name);
    at = folders_.erase(at);
  }
}

}  // namespace slora
