#include "adapters/changed_rows.h"

#include <algorithm>

namespace slora {
namespace {

std::size_t count_rows(const ChangedRows& rows) {
  std::size_t count = 0;
  for (const auto& [name, list] : rows) count += list != nullptr ? list->size() : 0;
  return count;
}

}  // namespace

ChangedRows ChangedRowLists::find(const FileStamp& file) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::find(kept_, file, &std::pair<FileStamp, ChangedRows>::first);
  return at != kept_.end() ? at->second : ChangedRows();
}

void ChangedRowLists::keep(const FileStamp& file, ChangedRows rows) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::find(kept_, file, &std::pair<FileStamp, ChangedRows>::first);
  if (at != kept_.end()) {
    kept_rows_ -= count_rows(at->second);
    kept_.erase(at);
  }
  kept_rows_ += count_rows(rows);
  kept_.emplace_front(file, std::move(rows));
  while (kept_.size() > kKeptFilesMax || (kept_rows_ > kKeptRowsMax && kept_.size() > 1)) {
    kept_rows_ -= count_rows(kept_.back().second);
    kept_.pop_back();
  }
}

}  // namespace slora
