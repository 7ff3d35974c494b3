#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_store.h"

namespace slora {

// Keeps the names of a store in step with the folders that the operator gave for adapters. A new folder is added under its own name once
// it is complete and unchanged between two scans; when a folder disappears, its name is removed. A name that was unloaded stays unloaded
// until its folder has disappeared and reappeared. Owned by one thread.
class AdapterWatcher {
 public:
  // `roots` were added to the store before. `store` outlives it.
  AdapterWatcher(AdapterStore& store, const std::vector<std::string>& roots);

  // One scan: compares folders and names. Lists the roots, and reads the stamps of the folders' files and the configs of new folders.
  void scan();

 private:
  struct Root {
    std::string path;
    bool was_listed = true;
  };
  struct KnownFolder {
    std::size_t root_index;
    FolderStamp stamp = {};
    bool is_settled = false;  // added, or refused for good
    bool exists = true;       // in this scan
  };

  void scan_root(std::size_t root_index);
  void scan_folder(std::size_t root_index, const FolderPath& path);
  void forget_missing();

  AdapterStore& store_;
  std::vector<Root> roots_;
  std::map<std::string, KnownFolder> folders_;  // by path, as of the last scan
};

}  // namespace slora
