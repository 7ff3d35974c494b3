#include "http/adapter_scans.h"

#include <algorithm>
#include <utility>

#include "base/caught.h"

namespace slora {

AdapterScans::AdapterScans(AdapterStore& store, const std::vector<std::string>& roots, std::chrono::milliseconds interval,
                           const FolderSource& source, PostToIo post, PostAfter post_after)
    : interval_(interval),
      post_(std::move(post)),
      post_after_(std::move(post_after)),
      lanes_({.threads_per_lane = 1, .threads_max = kScansMax, .waiting_max = std::max<std::size_t>(roots.size(), 1)}) {
  if (interval_.count() <= 0) return;
  for (const std::string& root : roots) {
    watchers_.emplace_back(store, root, source);
    scan_later(watchers_.size() - 1);
  }
}

void AdapterScans::scan_later(std::size_t root_index) {
  post_after_(interval_, [this, root_index] { scan(root_index); });
}

void AdapterScans::scan(std::size_t root_index) {
  // Made here, so that the way back takes no memory.
  auto job = [this, root_index, back = std::function<void()>([this, root_index] { scan_later(root_index); })]() mutable {
    try {
      watchers_[root_index].scan();
    } catch (...) {
      log_exception("a folder of adapters was not scanned");
    }
    post_(std::move(back));
  };
  bool is_running = false;
  try {
    is_running = lanes_.try_run(root_index, std::move(job));
  } catch (...) {
    log_exception("a folder of adapters was not scanned");
  }
  if (!is_running) scan_later(root_index);
}

}  // namespace slora
