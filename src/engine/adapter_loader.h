#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/hang_watch.h"
#include "base/work_lanes.h"
#include "engine/inbox.h"
#include "engine/model_shards.h"
#include "engine/shared_images.h"

namespace slora {

// Turns loaded images into what kernels read: addresses instead of places. The view is shard 0's and has those of the other shards with it.
// Requires: layouts and pages of all shards.
[[nodiscard]] std::unique_ptr<AdapterView> make_adapter_view(AdapterId id, std::span<const ImageLayout> layouts,
                                                             std::span<const ImagePages> pages, const ModuleTable& modules);

// The code of an outcome that says that the device has failed for good.
inline constexpr std::string_view kDeviceFailed = "device_failed";

// Reads the adapter's folder, or those of a blend one after the other, and writes every shard's image into these pages of its arena,
// through `gate`, and its part of the RoPE tables. Any thread.
[[nodiscard]] Result<std::unique_ptr<const AdapterView>> bring_in(AdapterStore& store, ModelShards& model, const AdapterVersion& version,
                                                                  const LoadPages& pages, Gate& gate);

struct AdapterLoaderOptions {
  std::size_t threads_per_lane = 4;  // loads of one device or root at once
  std::size_t lanes_max = 16;        // devices or roots that may hang before the others wait
  std::size_t loads_max = 0;         // that wait or are under way at any time
  // How long a load may go on without reading anything, or wait while no other load of its lane reads anything.
  Timestamp idle_time_max = std::chrono::seconds(10);
};

// Where an adapter's image comes from, as far as that is known when its load is planned.
enum class LoadSource : std::uint8_t { folder, host_memory };

// Loads adapters on threads of its own and reports the outcomes to the inbox. Every device and every root has its own few threads, so that
// one that hangs delays no other; a load that hangs is given up, and cannot write into its pages any more. The public functions are called
// by the engine thread; the destructor waits for the loads that are running and drops the queued ones.
class AdapterLoader {
 public:
  // How one adapter is loaded; called on the loader's threads, several at once. Writes into the pages through the gate.
  using BringIn = std::function<Result<std::unique_ptr<const AdapterView>>(const AdapterVersion&, const LoadPages& pages, Gate& gate)>;

  AdapterLoader(const AdapterLoaderOptions& options, Inbox& inbox, BringIn bring_in);

  // `source`: the load of an image that is in the host's memory waits for no disk. `image`: what is kept there meanwhile; may be null.
  // Requires: `pages` are reserved for this image until its outcome has been reported.
  void start(std::shared_ptr<const AdapterVersion> version, LoadPages pages, Timestamp now, LoadSource source = LoadSource::folder,
             std::shared_ptr<const HostImage> image = nullptr);
  // An outcome of this adapter was taken from the inbox.
  void forget(AdapterId adapter, Timestamp now);
  // Reports "adapter_unavailable" for the loads that hang; their pages are free. Does nothing most of the time.
  void give_up_hanging(Timestamp now);
  // Waits until no thread reads, given-up loads included; false when `limit` has passed before. Any thread.
  [[nodiscard]] bool wait_until_idle(std::chrono::milliseconds limit) { return lanes_.wait_until_idle(limit); }

 private:
  struct Load {
    AdapterId adapter;
    std::string name;
  };

  [[nodiscard]] static LoadOutcome unavailable(AdapterId adapter, std::string_view name, std::string_view why);
  void report_unavailable(AdapterId adapter, std::string_view name, std::string_view why);

  const BringIn bring_in_;
  Inbox& inbox_;
  std::vector<Load> loads_;  // whose outcome has not been reported or taken; of the engine thread
  HangWatch watch_;          // of these; of the engine thread
  WorkLanes lanes_;          // last: its jobs use the others
};

}  // namespace slora
