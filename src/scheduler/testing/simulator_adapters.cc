// What a simulation does with adapters besides asking for them.
#include <algorithm>
#include <iterator>
#include <set>
#include <vector>

#include "scheduler/testing/simulator.h"

namespace slora {

void Simulator::replace_some() {
  if (options_.adapter_count == 0) return;
  const AdapterId old = workload_.replace_some(random_);
  for (const auto& [id, stream] : live_)
    if (stream.request.adapter == old) saw(stream.is_started ? Situation::replaced_while_running : Situation::replaced_while_waiting);
  retired_.insert(old);
  pinned_.erase(old);
  scheduler_.retire_adapter(old);
  check_sound();
}

void Simulator::pin_some() {
  if (options_.adapter_count == 0) return;
  const auto [adapter, page_count] = workload_.draw_content(random_);
  page_counts_[adapter] = page_count;
  if (scheduler_.pin_adapter(adapter, page_count, workload_.shared_of(adapter))) {
    pinned_.try_emplace(adapter, Pin{.page_count = page_count});
  } else {
    saw(Situation::pin_refused);
  }
  check_sound();
}

void Simulator::unpin_some() {
  if (pinned_.empty()) return;
  const auto pin = std::next(pinned_.begin(), static_cast<std::ptrdiff_t>(random_.below(pinned_.size())));
  scheduler_.unpin_adapter(pin->first);
  pinned_.erase(pin);
  check_sound();
}

std::uint32_t Simulator::pages_in_all(AdapterId adapter) const {
  const auto own = page_counts_.find(adapter);
  std::uint32_t count = own == page_counts_.end() ? 0 : own->second;
  for (const SharedImage& image : workload_.shared_of(adapter)) count += image.page_count;
  return count;
}

std::uint32_t Simulator::pages_pinned_besides(AdapterId adapter) const {
  std::uint32_t count = 0;
  std::set<SharedImage> shared;
  for (const auto& [pinned, pin] : pinned_) {
    if (pinned == adapter) continue;
    count += pin.page_count;
    for (const SharedImage& image : workload_.shared_of(pinned)) shared.insert(image);
  }
  for (const SharedImage& image : workload_.shared_of(adapter)) shared.erase(image);
  for (const SharedImage& image : shared) count += image.page_count;
  return count;
}

void Simulator::progress_loads() {
  const auto is_done = [&](const Load& load) { return load.done_step <= report_.steps; };
  const auto first_done = std::stable_partition(loads_.begin(), loads_.end(), [&](const Load& load) { return !is_done(load); });
  const std::vector<Load> done(first_done, loads_.end());
  loads_.erase(first_done, loads_.end());
  for (const Load& load : done) {
    if (random_.chance(options_.load_fail_chance)) {
      fail_load(load.adapter);
      continue;
    }
    device_.land(load.adapter);
    if (failed_once_.erase(load.adapter) > 0) saw(Situation::load_succeeded_after_failure);
    const auto names = [&](const auto& entry) { return entry.second.request.adapter == load.adapter; };
    if (std::ranges::none_of(live_, names)) saw(Situation::nobody_waits_for_load);
    scheduler_.adapter_landed(load.adapter);
    check_sound();
  }
}

void Simulator::fail_load(AdapterId adapter) {
  saw(Situation::load_failed);
  take_ends();
  failed_once_.insert(adapter);
  failing_ = adapter;
  device_.fail(adapter);
  for (const SharedImage& image : workload_.shared_of(adapter))
    if (device_.is_awaited(image.id)) saw(Situation::shared_outlived_load);
  pinned_.erase(adapter);
  scheduler_.adapter_failed(adapter);
  check_sound();
  take_ends();
  failing_ = kNoAdapter;
  for (const auto& [id, stream] : live_) expect(stream.request.adapter != adapter, "a failed load ends all that asked for it", id);
}

// Returns the pages that the scheduler took for the load: its own, and those of shared images that are not there yet.
std::size_t Simulator::note_shared(const AdapterLoad& load) {
  std::size_t taken = load.pages.size();
  for (const SharedPages& part : load.shared) {
    const bool is_there = !device_.shared_pages(part.id).empty();
    if (!is_there) taken += part.pages.size();
    if (!is_there && evicted_once_.contains(part.id)) saw(Situation::shared_came_back);
    if (is_there && !device_.is_written(part.id)) saw(Situation::shared_while_loading);
  }
  return taken;
}

}  // namespace slora
