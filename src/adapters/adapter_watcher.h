#pragma once
#include <map>
#include <string>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_store.h"
#include "adapters/folder_source.h"

namespace slora {

// Keeps the names of a store in step with a folder that the operator gave for adapters. A new folder in it is added under its own name once
// it is complete and unchanged between two scans, or later, when its name is free; when a folder disappears, its name is removed. A name
// that was unloaded stays unloaded until its folder has disappeared and reappeared, or another folder has waited for the name. Used by one
// thread at a time.
class AdapterWatcher {
 public:
  // `root` was added to the store before. `store` and `source` outlive it.
  AdapterWatcher(AdapterStore& store, std::string root, const FolderSource& source = system_folders());

  // One scan: compares folders and names. Lists the root, and reads the stamps of the folders' files and the configs of new folders.
  void scan();

 private:
  struct KnownFolder {
    FolderStamp stamp = {};
    bool is_settled = false;      // added, or refused for good
    bool waits_for_name = false;  // which is taken
    bool exists = true;           // in this scan
  };

  void scan_folder(const FolderPath& path);
  void forget_missing();

  AdapterStore& store_;
  const FolderSource& source_;
  const std::string root_;
  bool was_listed_ = true;                      // in the last scan
  std::map<std::string, KnownFolder> folders_;  // by path, as of the last scan
};

}  // namespace slora
