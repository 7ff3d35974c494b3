#include "adapters/folder_source.h"

namespace slora {
namespace {

class SystemFolders final : public FolderSource {
 public:
  Result<Folder> open(const FolderPath& path) const override { return Folder::open(path); }
};

}  // namespace

const FolderSource& system_folders() {
  static const SystemFolders folders;
  return folders;
}

}  // namespace slora
