// Adapters that stay in the pool because the operator says so, and those that leave it because nobody uses them.
#include <algorithm>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace slora {

Status Scheduler::pin_adapter(AdapterId adapter, std::uint32_t page_count, std::vector<SharedImage> shared) {
  if (std::ranges::find(pins_, adapter, &Pin::adapter) != pins_.end()) return {};
  pins_.push_back({adapter, page_count, std::move(shared), AdapterInterest::named, {}});
  if (Status fits = check_pins(); !fits) {
    pins_.pop_back();
    return fits;
  }
  pins_.back().hold = memory_.adapters().hold(adapter, AdapterInterest::named);
  pages_pinned_ = pages_pinned_besides({});
  return {};
}

Status Scheduler::check_pins() const {
  const std::uint32_t pinned = pages_pinned_besides({});
  if (const std::int64_t left = tokens_that_fit(options_, 0, pinned); left < options_.sequence_tokens_max) {
    return error("pin_does_not_fit",
                 "all pinned adapters together would take {} of {} pages, which leaves pages for a request of {} of {} tokens", pinned,
                 options_.page_count, left, options_.sequence_tokens_max);
  }
  for (const auto& [id, sequence] : sequences_) {
    const AdapterNeeds needs = needs_of(sequence->request);
    if (sequence->tokens_max() <= tokens_that_fit(options_, pages_in_all(needs), pages_pinned_besides(needs))) continue;
    return error("pin_does_not_fit", "a request of {} tokens that runs or waits would not fit next to all pinned adapters; try again later",
                 sequence->tokens_max());
  }
  return {};
}

void Scheduler::unpin_adapter(AdapterId adapter) {
  std::erase_if(pins_, [&](const Pin& pin) { return pin.adapter == adapter; });
  pages_pinned_ = pages_pinned_besides({});
}

std::uint32_t Scheduler::pages_pinned_besides(const AdapterNeeds& needs) const {
  std::uint32_t count = 0;
  std::vector<AdapterId> counted;
  for (const SharedImage& image : needs.shared) counted.push_back(image.id);
  for (const Pin& pin : pins_) {
    if (pin.adapter == needs.adapter) continue;
    count += pin.page_count;
    for (const SharedImage& image : pin.shared) {
      if (std::ranges::find(counted, image.id) != counted.end()) continue;
      counted.push_back(image.id);
      count += image.page_count;
    }
  }
  return count;
}

// Pinned adapters come before those who wait, or others could take the pages for ever.
void Scheduler::load_pinned() {
  AdapterCache& adapters = memory_.adapters();
  for (Pin& pin : pins_) {
    if (pin.interest == AdapterInterest::pinned) continue;
    if (adapters.state(pin.adapter) == AdapterState::absent) {
      const AdapterNeeds needs{pin.adapter, pin.page_count, pin.shared};
      if (budget_.unpromised_to_adapters() < adapters.pages_to_load(needs)) {
        step_.is_short_of_pages = true;
        continue;
      }
      memory_.begin_load(needs);
      add_load(needs);
    }
    static_cast<void>(adapters.settle_load(pin.adapter));  // the operator's
    pin.interest = AdapterInterest::pinned;
    pin.hold = adapters.hold(pin.adapter, AdapterInterest::pinned);
  }
}

void Scheduler::evict_unused_adapters(Timestamp now) {
  constexpr Timestamp kLookInterval = std::chrono::milliseconds(250);
  const Timestamp idle_time = options_.adapter_idle_time;
  if (idle_time == Timestamp(0) && !memory_.adapters().has_idle_times()) return;
  const Timestamp interval = idle_time == Timestamp(0) ? kLookInterval : std::min(kLookInterval, idle_time / 4);
  if (now - unused_looked_at_ < interval) return;
  unused_looked_at_ = now;
  memory_.adapters().evict_unused(now, idle_time);
}

}  // namespace slora
