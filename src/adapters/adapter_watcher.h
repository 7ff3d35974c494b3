#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_store.h"

namespace slora {

// Keeps the names of a store in step with the folders that the operator gave for adapters. A folder that comes is added under its own
// name once it is complete and has not changed from one look to the next; when a folder goes, so does its name. A name that was
// unloaded stays away until its folder has gone and come again. Owned by one thread; whoever uses the store notices nothing else.
class AdapterWatcher {
 public:
  // `roots` were added to the store before. `store` outlives it.
  AdapterWatcher(AdapterStore& store, const std::vector<std::string>& roots);

  // Compares folders and names. Reads the folders' lists and the stamps of their files, and of new folders the config.
  void look();

 private:
  struct Root {
    std::string path;
    bool was_listed = true;
  };
  struct Folder {
    std::size_t root_index;
    FolderStamp stamp = {};
    bool is_settled = false;  // added, or left out for good
    bool is_there = true;     // as of this look
  };

  void look_at_root(std::size_t root_index);
  void look_at_folder(std::size_t root_index, const std::string& path);
  void forget_missing();

  AdapterStore& store_;
  std::vector<Root> roots_;
  std::map<std::string, Folder> folders_;  // by path, as of the last look
};

}  // namespace slora
