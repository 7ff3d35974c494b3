// How an AdapterStore looks at folders.
#include <algorithm>
#include <future>
#include <iterator>
#include <new>
#include <utility>

#include "adapters/adapter_store.h"
#include "base/caught.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

constexpr std::size_t kWaitersMax = 4096;
constexpr Timestamp kWatchInterval = std::chrono::milliseconds(100);
// In each watch interval, so that thousands of resident adapters take little from the threads that compute (a look takes some 10 us), and
// little of the time in which requests find versions.
constexpr std::size_t kLooksMax = 100, kVisitedMax = 4096;

// The store's thread goes on whatever fails for lack of memory.
template <class Work>
void run_caught_here(Work&& work) {
  try {
    work();
  } catch (...) {
    log_exception("the folders of adapters were not looked at");
  }
}

}  // namespace

bool AdapterStore::is_resident(const Entry& entry) { return entry.version && entry.version->is_resident(); }

AdapterStore::Found AdapterStore::find_version(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return error("not_found", "there is no adapter of this name");
  return version_of(at->first, at->second);
}

AdapterStore::Found AdapterStore::version_of(const std::string& name, const Entry& entry) {
  if (entry.unavailable && !is_resident(entry)) return tl::unexpected(*entry.unavailable);
  if (entry.version) return entry.version;
  if (entry.refused) return tl::unexpected(*entry.refused);
  return tl::unexpected(adapter_unavailable(name, {"E_READ", "its folder has not been read yet", {}}));
}

bool AdapterStore::is_known(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  return at == entries_.end() || is_known(at->second, clock_.now());
}

bool AdapterStore::is_known(const Entry& entry, Timestamp now) const {
  if (is_resident(entry)) return true;
  if (entry.is_looking && entry.unavailable) return true;
  return entry.looked_at && now - *entry.looked_at < options_.look_interval;
}

void AdapterStore::await(std::string_view name, std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    const Timestamp now = clock_.now();
    const auto at = entries_.find(name);
    if (at != entries_.end() && !is_known(at->second, now) && wait_for_look(at, now, then)) return;
  }
  then();
}

void AdapterStore::await_look(std::string_view name, std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    const bool hangs = at != entries_.end() && at->second.is_looking && at->second.unavailable;
    if (at != entries_.end() && !hangs && wait_for_look(at, clock_.now(), then)) return;
  }
  then();
}

// Takes `then` if a look is under way or was started.
bool AdapterStore::wait_for_look(Entries::iterator at, Timestamp now, std::function<void()>& then) {
  if (waiters_.size() >= kWaitersMax) return false;
  start_look(at);
  if (!at->second.is_looking) return false;
  waiters_.push_back({at->first, now + options_.look_time_max, std::move(then)});
  return true;
}

AdapterStore::Found AdapterStore::resolve(std::string_view name) {
  const auto known = std::make_shared<std::promise<void>>();  // shared with the thread that looks
  await(name, [known] { known->set_value(); });
  known->get_future().wait();
  return find_version(name);
}

bool AdapterStore::look_at_resident() {
  {
    const std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (is_resident(at->second)) start_look(at);
    }
  }
  return wait_for_looks(std::chrono::duration_cast<std::chrono::milliseconds>(options_.look_time_max));
}

void AdapterStore::start_look(Entries::iterator at) {
  auto& [name, entry] = *at;
  if (entry.is_looking) return;
  const auto job = [this, name = name, registration = entry.registration] { look(name, registration); };
  entry.is_looking = lanes_.try_run(lane_of(entry.folder, entry.stamp), job);
  if (!entry.is_looking) set_unavailable(name, entry, {"E_READ", "too many folders wait to be read", {}});
}

// At some of the resident adapters whose last look is half an interval old, going on after those of the last call.
void AdapterStore::start_due_looks(Timestamp now) {
  auto at = entries_.upper_bound(last_visited_);
  std::size_t started = 0;
  for (std::size_t left = std::min(kVisitedMax, entries_.size()); left > 0 && started < kLooksMax; --left, ++at) {
    if (at == entries_.end()) at = entries_.begin();
    const Entry& entry = at->second;
    const bool is_due = !entry.is_looking && (!entry.looked_at || now - *entry.looked_at >= options_.look_interval / 2);
    if (is_due && is_resident(entry)) {
      start_look(at);
      ++started;
    }
    if (left == 1 || started == kLooksMax) last_visited_ = at->first;
  }
}

// On a thread of the lanes.
void AdapterStore::look(const std::string& name, std::uint64_t registration) {
  try {
    look_now(name, registration);
  } catch (...) {  // the next look tries again
    log_exception("the folder of an adapter was not looked at");
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at != entries_.end() && at->second.registration == registration) at->second.is_looking = false;
  }
}

void AdapterStore::look_now(const std::string& name, std::uint64_t registration) {
  const Timestamp begun = clock_.now();
  FolderPath folder;
  std::optional<FolderStamp> known;
  {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.registration != registration) return;
    folder = at->second.folder;
    if (at->second.version || at->second.refused) known = at->second.stamp;
  }
  AdapterLook seen = Error{"E_READ", "memory is exhausted", {}};
  try {
    seen = look_at(folders_, folder, known, base_);
  } catch (const std::bad_alloc&) {  // the next look tries again
  }
  std::shared_ptr<const AdapterVersion> version;
  {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.registration != registration) return;
    settle(name, at->second, std::move(seen));
    if (!at->second.unavailable) version = at->second.version;
  }
  try {
    if (version && read_more_) read_more_(*version);
  } catch (const std::bad_alloc&) {  // the requests read it
  }
  std::vector<Waiter> waiters;
  {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.registration != registration) return;
    at->second.looked_at = begun;
    at->second.is_looking = false;
    if (version && version == at->second.version) at->second.unavailable.reset();  // of requests that did not wait so long
    waiters = take_waiters(name);
  }
  run(waiters);
}

// One that fails must not keep the others waiting.
void AdapterStore::run(const std::vector<Waiter>& waiters) {
  for (const Waiter& waiter : waiters) {
    try {
      waiter.then();
    } catch (...) {
      log_exception("a request could not go on after a look at its adapter");
    }
  }
}

void AdapterStore::settle(const std::string& name, Entry& entry, AdapterLook seen) {
  if (const auto* away = std::get_if<Error>(&seen)) return set_unavailable(name, entry, *away);
  auto* changed = std::get_if<ChangedFolder>(&seen);
  // Files that are missing where an adapter was served are a store that is away or being written.
  if (changed != nullptr && changed->is_incomplete && entry.generation > 0) {
    return set_unavailable(name, entry, changed->size.error());
  }
  if (entry.unavailable) log_info("adapter \"{}\" can be read again", name);
  entry.unavailable.reset();
  if (changed != nullptr) settle_change(name, entry, std::move(*changed));
}

void AdapterStore::settle_change(const std::string& name, Entry& entry, ChangedFolder seen) {
  forget_version(entry);
  entry.stamp = seen.stamp;
  if (seen.size) {
    entry.context_tokens_max = seen.traits.context_tokens_max;
    make_version(name, entry, *seen.size, std::move(seen.traits));
    entry.refused.reset();
    entry.base_model_name = std::move(seen.base_model_name);
    entry.rank = seen.rank;
    for (const std::string& warning : seen.warnings) log_warning("adapter \"{}\": {}", name, warning);
    return;
  }
  Error why = adapter_refused(name, seen.size.error());
  if (!entry.refused || entry.refused->message != why.message) log_warning("refused: {} ({})", why.message, why.code);
  entry.refused = std::make_unique<const Error>(std::move(why));
}

void AdapterStore::set_unavailable(const std::string& name, Entry& entry, const Error& why) {
  Error shown = adapter_unavailable(name, why);
  if (!entry.unavailable || entry.unavailable->message != shown.message) log_warning("{}", shown.message);
  entry.unavailable = std::make_unique<const Error>(std::move(shown));
}

// The store's own thread: looks at resident adapters, and ends the wait of requests for folders that hang.
void AdapterStore::watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  Timestamp looks_due = clock_.now() + kWatchInterval;
  while (!stop.stop_requested()) {
    woken_.wait_for(lock, kWatchInterval);
    const Timestamp now = clock_.now();
    if (options_.look_interval > Timestamp(0) && now >= looks_due) {
      looks_due = now + kWatchInterval;
      run_caught_here([&] { start_due_looks(now); });
    }
    std::vector<Waiter> overdue;
    run_caught_here([&] { overdue = take_overdue_waiters(now); });
    lock.unlock();
    run(overdue);
    overdue.clear();
    lock.lock();
  }
}

std::vector<AdapterStore::Waiter> AdapterStore::take_waiters(std::string_view name) {
  const auto taken = std::ranges::stable_partition(waiters_, [&](const Waiter& waiter) { return waiter.name != name; });
  std::vector<Waiter> waiters(std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end()));
  waiters_.erase(taken.begin(), taken.end());
  return waiters;
}

// The name means something else or nothing now: the watching thread lets them go on.
void AdapterStore::release_waiters(std::string_view name) {
  for (Waiter& waiter : waiters_) {
    if (waiter.name == name) waiter.deadline = Timestamp(0);
  }
}

std::vector<AdapterStore::Waiter> AdapterStore::take_overdue_waiters(Timestamp now) {
  const auto taken = std::ranges::stable_partition(waiters_, [&](const Waiter& waiter) { return waiter.deadline > now; });
  std::vector<Waiter> waiters(std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end()));
  waiters_.erase(taken.begin(), taken.end());
  for (const Waiter& waiter : waiters) {
    if (waiter.deadline == Timestamp(0)) continue;  // released: the name was registered again
    const auto at = entries_.find(waiter.name);
    if (at == entries_.end() || !at->second.is_looking) continue;
    set_unavailable(at->first, at->second,
                    {"E_READ", fmt::format("its folder has not answered within {:.0f} s", seconds(options_.look_time_max)), {}});
  }
  return waiters;
}

}  // namespace slora
