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

AdapterWatcher::AdapterWatcher(AdapterStore& store, std::string root, const FolderSource& source)
    : store_(store), source_(source), root_(std::move(root)) {
  std::set<std::string> served;
  for (const AdapterListing& adapter : store_.list()) served.insert(adapter.folder);
  for (const FolderPath& folder : adapter_folders_of(root_, source_).value_or(std::vector<FolderPath>())) {
    if (served.contains(folder.path)) folders_.try_emplace(folder.path, KnownFolder{.is_settled = true});
  }
}

void AdapterWatcher::scan() {
  const Result<std::vector<FolderPath>> found = adapter_folders_of(root_, source_);
  const bool was_listed = std::exchange(was_listed_, found.has_value());
  if (!found) {  // a disk that is unmounted for a while must not remove names
    if (was_listed) log_warning("--watch-adapters: {}", found.error().message);
    return;
  }
  for (auto& [path, folder] : folders_) folder.exists = false;
  for (const FolderPath& path : *found) scan_folder(path);
  forget_missing();
}

void AdapterWatcher::scan_folder(const FolderPath& path) {
  const auto [at, is_new] = folders_.try_emplace(path.path);
  KnownFolder& known = at->second;
  known.exists = true;
  const std::string name = name_of_folder(path.path);
  if (known.is_settled || (known.waits_for_name && store_.find(name))) return;
  const Result<Folder> folder = source_.open(path);
  const bool leads_out = !folder && folder.error().code == "E_LINK";
  const FolderStamp stamp = folder ? stamp_of(*folder).value_or(FolderStamp()) : FolderStamp();
  const bool is_unchanged = !is_new && stamp == known.stamp && (leads_out || (folder && is_complete_adapter_folder(*folder)));
  known.stamp = stamp;
  if (!is_unchanged) return;
  const Status added = store_.add_new_folder(name, path);
  const bool waited_for_name = std::exchange(known.waits_for_name, !added && added.error().code == "name_taken");
  known.is_settled = !known.waits_for_name;
  if (known.waits_for_name) {
    if (!waited_for_name) log_warning("--watch-adapters: folder {} waits until its name is free: {}", path.path, added.error().message);
    store_.note_left_out(path.path);
  } else if (!added) {
    log_warning("--watch-adapters: folder {} is skipped: {}", path.path, added.error().message);
    store_.note_left_out(path.path);
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
    store_.forget_left_out(path);
    at = folders_.erase(at);
  }
}

}  // namespace slora
