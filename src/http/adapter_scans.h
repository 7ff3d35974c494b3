#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "adapters/adapter_watcher.h"
#include "adapters/folder_source.h"
#include "base/work_lanes.h"
#include "http/answer_pool.h"

namespace slora {

// Scans the folders that the operator gave for adapters, each again some time after its last scan. Each has a thread while it is scanned,
// so that one that hangs holds up no other, as long as there are fewer than kScansMax of these. I/O thread, unless stated otherwise.
class AdapterScans {
 public:
  using PostAfter = std::function<void(std::chrono::milliseconds, std::function<void()>)>;

  static constexpr std::size_t kScansMax = 16;  // at once

  // The first scans come an interval later; none if that is 0. `roots` were added to the store before. What it borrows outlives it.
  AdapterScans(AdapterStore& store, const std::vector<std::string>& roots, std::chrono::milliseconds interval, const FolderSource& source,
               PostToIo post, PostAfter post_after);

  // Whether a folder is being scanned, which may take for ever. Any thread.
  [[nodiscard]] bool is_reading() { return !lanes_.wait_until_idle(std::chrono::milliseconds(0)); }

 private:
  void scan_later(std::size_t root_index);
  void scan(std::size_t root_index);

  const std::chrono::milliseconds interval_;
  const PostToIo post_;
  const PostAfter post_after_;
  std::deque<AdapterWatcher> watchers_;  // of each root; each of the thread that scans it
  WorkLanes lanes_;                      // last: its jobs use the members above
};

}  // namespace slora
