#include "engine/adapter_pins.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr Timestamp kRetryInterval = std::chrono::seconds(10);

}  // namespace

AdapterPins::AdapterPins(AdapterStore& store, AdapterUse& use, const std::vector<std::string>& names)
    : store_(store), use_(use), has_retired_(true) {
  for (const std::string& name : names) pins_.push_back({name, nullptr});
}

Status AdapterPins::pin(std::string_view name, Scheduler& scheduler) {
  const auto at = std::ranges::find(pins_, name, &Pin::name);
  if (at != pins_.end() && at->version && !at->version->is_retired()) return {};
  Pin wanted{std::string(name), nullptr};
  if (Status pinned = try_pin(wanted, scheduler); !pinned) return pinned;
  if (at == pins_.end()) {
    pins_.push_back(std::move(wanted));
  } else {
    drop(*at, scheduler);
    *at = std::move(wanted);
  }
  return {};
}

Status AdapterPins::unpin(std::string_view name, Scheduler& scheduler) {
  const auto at = std::ranges::find(pins_, name, &Pin::name);
  if (at == pins_.end()) return error("not_pinned", "the adapter {} is not pinned", quote(name));
  drop(*at, scheduler);
  pins_.erase(at);
  return {};
}

void AdapterPins::note_failed(AdapterId adapter, Scheduler& scheduler) {
  for (Pin& pin : pins_) {
    if (!pin.version || pin.version->id() != adapter) continue;
    log_warning("adapter \"{}\" is pinned and could not be loaded; this is tried again", pin.name);
    drop(pin, scheduler);
  }
}

void AdapterPins::follow(Scheduler& scheduler, Timestamp now) {
  const auto lacks = [](const Pin& pin) { return !pin.version; };
  if (!has_retired_ && (now - looked_at_ < kRetryInterval || std::ranges::none_of(pins_, lacks))) return;
  looked_at_ = now;
  for (auto pin = pins_.begin(); pin != pins_.end();)  // not erase_if(): follow() may throw
    pin = follow(*pin, scheduler) ? pin + 1 : pins_.erase(pin);
  has_retired_ = false;
}

bool AdapterPins::follow(Pin& pin, Scheduler& scheduler) {
  if (pin.version && !pin.version->is_retired()) return true;
  drop(pin, scheduler);
  const Status pinned = try_pin(pin, scheduler);
  if (pinned) return true;
  if (pinned.error().code == "not_found") {
    log_warning("adapter \"{}\" was pinned and is gone: the pin ends", pin.name);
    return false;
  }
  log_warning("adapter \"{}\" is not pinned now: {}", pin.name, pinned.error().message);
  store_.await(pin.name, [] {});  // so that somebody looks at its folder
  return true;
}

void AdapterPins::begin_anew() {
  for (Pin& pin : pins_) {
    if (pin.version) pin.version->mark_unpinned();
    pin.version.reset();
  }
  has_retired_ = true;
}

Status AdapterPins::try_pin(Pin& pin, Scheduler& scheduler) {
  AdapterStore::Found found = store_.find_version(pin.name);
  if (!found) return forward_error(found);
  const std::shared_ptr<const AdapterVersion>& version = *found;
  const std::span<const SharedImage> shared = version->shared();
  if (Status pinned = scheduler.pin_adapter(version->id(), version->page_count(), {shared.begin(), shared.end()}); !pinned) return pinned;
  use_.acquire(version);
  version->mark_pinned();
  pin.version = version;
  return {};
}

void AdapterPins::drop(Pin& pin, Scheduler& scheduler) {
  if (!pin.version) return;
  scheduler.unpin_adapter(pin.version->id());
  pin.version->mark_unpinned();
  use_.release(pin.version->id());
  pin.version.reset();
}

}  // namespace slora
