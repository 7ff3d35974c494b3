#include "http/adapter_loads.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "adapters/adapter_look.h"
#include "base/caught.h"

namespace slora {

AdapterLoads::AdapterLoads(const AdapterLoadLimits& limits)
    : watch_(limits.idle_time_max),
      lanes_({.threads_per_lane = limits.threads_per_lane,
              .threads_max = limits.threads_per_lane * limits.lanes_max,
              .waiting_max = limits.waiting_max}) {}

Status AdapterLoads::start(std::uint64_t lane, const std::string& name, Read read, Done done) {
  const auto progress = std::make_shared<JobProgress>();
  const auto load = std::make_shared<const Load>(Load{name, std::move(done)});
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = ++load_count_;
    loads_.emplace(id, load);
  }
  auto job = [this, id, progress, load, read = std::move(read)] {
    progress->is_running = true;
    if (!progress->gate.pass([] {})) return;  // given up while it waited
    Result<ExaminedAdapter> adapter = run_caught([&] { return read(progress->gate); });
    const bool is_own_end = progress->gate.close();
    (void)take(id);
    if (is_own_end) load->done(std::move(adapter));
  };
  bool is_queued = false;
  try {
    {
      const std::lock_guard lock(mutex_);
      watch_.add(id, lane, progress, clock_.now());
    }
    is_queued = lanes_.try_run(lane, std::move(job));
  } catch (...) {
    (void)take(id);
    throw;
  }
  if (is_queued) return {};
  (void)take(id);
  return error("queue_full", "Too many adapters wait to be read; try again soon.");
}

std::shared_ptr<const AdapterLoads::Load> AdapterLoads::take(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  watch_.remove(id, clock_.now());
  const auto at = loads_.find(id);
  if (at == loads_.end()) return nullptr;
  std::shared_ptr<const Load> load = std::move(at->second);
  loads_.erase(at);
  return load;
}

void AdapterLoads::give_up_hanging() {
  std::vector<std::shared_ptr<const Load>> given_up;
  {
    const std::lock_guard lock(mutex_);
    given_up.reserve(loads_.size());
    watch_.look(clock_.now(), [&](std::uint64_t id, JobProgress& progress) {
      if (!progress.gate.close()) return false;  // it ends by itself just now
      const auto at = loads_.find(id);
      given_up.push_back(std::move(at->second));
      loads_.erase(at);
      return true;
    });
  }
  for (const std::shared_ptr<const Load>& load : given_up) {
    load->done(run_caught([&]() -> Result<ExaminedAdapter> {
      const std::string why = fmt::format("nothing was read for {:.0f} s", seconds(watch_.idle_time_max()));
      return tl::unexpected(adapter_unavailable(load->name, {"E_READ", why, {}}));
    }));
  }
}

}  // namespace slora
