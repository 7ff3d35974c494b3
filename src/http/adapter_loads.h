#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "adapters/adapter_store.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/hang_watch.h"
#include "base/result.h"
#include "base/work_lanes.h"

namespace slora {

struct AdapterLoadLimits {
  std::size_t threads_per_lane = 4;  // reads beneath one root and on one file system at once
  std::size_t lanes_max = 16;        // of these that may hang before the others wait
  std::size_t waiting_max = 256;
  // How long a read may go on without reading anything, or wait while no other one of its lane reads anything.
  Timestamp idle_time_max = std::chrono::seconds(10);
};

// Reads the folders of adapters that clients load, on threads of its own, as the engine's loader does: a folder that hangs holds up its own
// lane only, and a read that hangs is given up. Any thread; the destructor waits for the reads that are running and drops the queued ones.
class AdapterLoads {
 public:
  // Reads a folder, and passes the gate as it goes on. On a thread of the lane.
  using Read = std::function<Result<ExaminedAdapter>(Gate& gate)>;
  // Called once, on that thread or by give_up_hanging().
  using Done = std::function<void(Result<ExaminedAdapter>)>;

  explicit AdapterLoads(const AdapterLoadLimits& limits);

  // `name`: of the adapter, for errors. "queue_full" when too many reads wait: then nothing is called.
  [[nodiscard]] Status start(std::uint64_t lane, const std::string& name, Read read, Done done);
  // Ends the reads that hang with "adapter_unavailable". Called several times a second.
  void give_up_hanging();
  // Whether anything is being read, which may take for ever; reads that were given up included.
  [[nodiscard]] bool is_reading() { return !lanes_.wait_until_idle(std::chrono::milliseconds(0)); }

 private:
  struct Load {
    std::string name;
    Done done;
  };
  [[nodiscard]] std::shared_ptr<const Load> take(std::uint64_t id);

  const SteadyClock clock_;
  std::mutex mutex_;
  HangWatch watch_;                                             // guarded by mutex_, as all below
  std::map<std::uint64_t, std::shared_ptr<const Load>> loads_;  // shared with who ends one
  std::uint64_t load_count_ = 0;                                // since the start
  WorkLanes lanes_;                                             // last: its jobs use the others
};

}  // namespace slora
