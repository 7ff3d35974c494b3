#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "formats/folder.h"

namespace slora {

// Which rows of the weights that an adapter saves whole differ from the base's, by the tensor's name. Null: so many that all are stored.
using ChangedRows = std::map<std::string, std::shared_ptr<const std::vector<std::int64_t>>, std::less<>>;

// Those of the adapters that were prepared last, by their weight files. Finding them means reading two whole weights: with these, an
// adapter whose file was looked at before is loaded without. Of one base; any thread.
class ChangedRowLists {
 public:
  // None for a file that is not known.
  [[nodiscard]] ChangedRows find(const FileStamp& file);
  void keep(const FileStamp& file, ChangedRows rows);

 private:
  static constexpr std::size_t kKeptRowsMax = std::size_t{1} << 22;  // 32 MiB
  static constexpr std::size_t kKeptFilesMax = 1024;

  std::mutex mutex_;
  std::deque<std::pair<FileStamp, ChangedRows>> kept_;  // guarded by mutex_; the latest first
  std::size_t kept_rows_ = 0;                           // guarded by mutex_
};

}  // namespace slora
