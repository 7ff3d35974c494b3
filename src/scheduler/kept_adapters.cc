// Adapters that stay in the pool because the operator says so, and those that leave it because nobody uses them.
#include <algorithm>
#include <utility>

#include "scheduler/scheduler.h"

namespace slora {

Status Scheduler::pin_adapter(AdapterId adapter, std::uint32_t page_count) {
  if (std::ranges::find(pins_, adapter, &Pin::adapter) != pins_.end()) return {};
  const std::uint32_t pinned = pages_pinned_except(adapter) + page_count;
  if (const std::int64_t left = tokens_that_fit(options_, 0, pinned); left < options_.sequence_tokens_max) {
    return error("pin_does_not_fit",
                 "all pinned adapters together would take {} of {} pages, which leaves pages for a request of {} of {} tokens", pinned,
                 options_.page_count, left, options_.sequence_tokens_max);
  }
  for (const auto& [id, sequence] : sequences_) {
    const SequenceRequest& request = sequence->request;
    const std::uint32_t others = request.adapter == adapter ? pinned - page_count : pages_pinned_except(request.adapter) + page_count;
    if (sequence->tokens_max() <= tokens_that_fit(options_, request.adapter_page_count, others)) continue;
    return error("pin_does_not_fit", "a request of {} tokens that runs or waits would not fit next to all pinned adapters; try again later",
                 sequence->tokens_max());
  }
  pins_.push_back({adapter, page_count, AdapterInterest::named, memory_.adapters().hold(adapter, AdapterInterest::named)});
  return {};
}

void Scheduler::unpin_adapter(AdapterId adapter) {
  std::erase_if(pins_, [&](const Pin& pin) { return pin.adapter == adapter; });
}

std::uint32_t Scheduler::pages_pinned_except(AdapterId adapter) const {
  std::uint32_t count = 0;
  for (const Pin& pin : pins_) count += pin.adapter == adapter ? 0 : pin.page_count;
  return count;
}

// Pinned adapters come before those who wait, or others could take the pages for ever.
void Scheduler::load_pinned() {
  AdapterCache& adapters = memory_.adapters();
  for (Pin& pin : pins_) {
    if (pin.interest == AdapterInterest::pinned) continue;
    if (adapters.state(pin.adapter) == AdapterState::absent) {
      if (budget_.unpromised_to_adapters() < pin.page_count) {
        step_.is_short_of_pages = true;
        continue;
      }
      PageList pages = memory_.empty_list(adapters.owner_of(pin.adapter));
      memory_.take(pages, pin.page_count);
      begin_load(pin.adapter, std::move(pages));
    }
    static_cast<void>(adapters.settle_load(pin.adapter));  // the operator's
    pin.interest = AdapterInterest::pinned;
    pin.hold = adapters.hold(pin.adapter, AdapterInterest::pinned);
  }
}

void Scheduler::evict_unused_adapters(Timestamp now) {
  constexpr Timestamp kLookInterval = std::chrono::seconds(1);
  const Timestamp idle_time = options_.adapter_idle_time;
  if (idle_time == Timestamp(0) || now - unused_looked_at_ < std::min(kLookInterval, idle_time / 4)) return;
  unused_looked_at_ = now;
  memory_.adapters().evict_unused(now, idle_time);
}

}  // namespace slora
