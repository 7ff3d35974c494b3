#pragma once
#include "base/result.h"
#include "formats/folder.h"

namespace slora {

// How an adapter store opens folders, which is the beginning of everything that it reads. Two implementations: the system's, and the one
// of tests, whose folders hang and fail on demand. Any thread.
class FolderSource {
 public:
  virtual ~FolderSource() = default;
  // As Folder::open.
  [[nodiscard]] virtual Result<Folder> open(const FolderPath& path) const = 0;
};

// The system's; has no state.
[[nodiscard]] const FolderSource& system_folders();

}  // namespace slora
