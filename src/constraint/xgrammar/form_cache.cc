#include "constraint/xgrammar/form_cache.h"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "base/caught.h"

namespace slora {
namespace {

constexpr const char* kBusy = "constraints_busy";  // the refusal that depends on the client

}  // namespace

Result<FormCache::SharedForm> FormCache::find_or_compile(const std::string& key, ClientId client, const Compile& compile) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (SharedForm known = find_locked(key)) return known;
    const auto found = compiling_.find(key);
    if (found == compiling_.end()) break;
    const std::shared_ptr<Compiling> other = found->second;
    compiled_.wait(lock, [&] { return other->result.has_value(); });
    const Result<SharedForm>& result = *other->result;
    if (result || result.error().code != kBusy || other->client == client) return result;
  }
  const auto own = std::make_shared<Compiling>(client);
  compiling_.emplace(key, own);
  lock.unlock();
  Result<SharedForm> result = run_caught(compile);
  lock.lock();
  // Those who wait are notified before anything that allocates, which may throw.
  static_assert(std::is_nothrow_move_constructible_v<Result<SharedForm>>);
  own->result.emplace(std::move(result));
  compiling_.erase(key);
  compiled_.notify_all();
  if (*own->result) add_locked(key, **own->result);
  return *own->result;
}

FormCache::SharedForm FormCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return find_locked(key);
}

Result<FormPlace> FormCache::take_place(ClientId client, std::size_t bytes) {
  const std::size_t form_bytes_max = limits_.bytes_max / 2;  // a client's share while it is alone
  if (bytes > form_bytes_max) {
    return error("constraint_too_costly", "The compiled form takes {} bytes of memory; expected at most {}, half of what all forms have",
                 bytes, form_bytes_max);
  }
  const std::lock_guard lock(mutex_);
  FormPlace place{budget_, budget_->reservation_for(client), client};
  for (;;) {
    const Status taken = place.held.grow_to(bytes);
    if (taken) return place;
    if (would_fit_locked(client, bytes) && (drop_unused_locked(client) || drop_unused_locked(std::nullopt))) continue;
    return error(kBusy, "Forms of {} take the memory for forms, of {} bytes, and this one needs {}; try again later",
                 taken.error().code == "queue_full" ? "your other answers" : "other answers", limits_.bytes_max, bytes);
  }
}

bool FormCache::would_fit_locked(ClientId client, std::size_t bytes) const {
  std::size_t unused_bytes = 0, unused_of_client = 0;
  for (const Kept& kept : forms_) {
    if (kept.form.use_count() > 1) continue;
    unused_bytes += kept.form->place.held.bytes();
    if (kept.form->place.client == client) unused_of_client += kept.form->place.held.bytes();
  }
  const std::size_t of_client = budget_->held_bytes_of(client) - unused_of_client + bytes;
  return of_client + bytes + budget_->held_bytes() - unused_bytes <= limits_.bytes_max;  // the budget's rule
}

bool FormCache::drop_unused_locked(std::optional<ClientId> client) {
  const auto last = std::find_if(forms_.rbegin(), forms_.rend(), [&](const Kept& kept) {
    return kept.form.use_count() == 1 && (!client || kept.form->place.client == *client);
  });
  if (last == forms_.rend()) return false;
  by_key_.erase(last->key);
  forms_.erase(std::next(last).base());
  return true;
}

FormCache::SharedForm FormCache::find_locked(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  forms_.splice(forms_.begin(), forms_, found->second);
  return found->second->form;
}

void FormCache::add_locked(const std::string& key, SharedForm form) {
  std::list<Kept> added;
  added.push_back({key, std::move(form)});
  by_key_[key] = added.begin();
  forms_.splice(forms_.begin(), added);  // once nothing can throw, so that both have it or none
  if (forms_.size() <= limits_.forms_max) return;
  by_key_.erase(forms_.back().key);
  forms_.pop_back();
}

}  // namespace slora
