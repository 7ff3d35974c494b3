#include "constraint/xgrammar/form_cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/caught.h"

namespace slora {

Result<FormCache::SharedForm> FormCache::find_or_compile(const std::string& key, const Compile& compile) {
  std::unique_lock lock(mutex_);
  if (SharedForm known = find_locked(key)) return known;
  if (const auto found = compiling_.find(key); found != compiling_.end()) {
    const std::shared_ptr<Compiling> other = found->second;
    compiled_.wait(lock, [&] { return other->result.has_value(); });
    return *other->result;
  }
  const auto own = std::make_shared<Compiling>();
  compiling_.emplace(key, own);
  lock.unlock();
  Result<SharedForm> result = run_caught(compile);
  lock.lock();
  own->result = result;
  compiling_.erase(key);
  if (result) add_locked(key, *result);
  compiled_.notify_all();
  return result;
}

FormCache::SharedForm FormCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return find_locked(key);
}

Result<FormPlace> FormCache::take_place(ClientId client, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  FormPlace place{budget_, budget_->reservation_for(client), client};
  for (;;) {
    const Status taken = place.held.grow_to(bytes);
    if (taken) return place;
    const bool is_share_full = taken.error().code == "queue_full";
    if (drop_unused_locked(is_share_full ? std::optional(client) : std::nullopt)) continue;
    return error("constraints_busy", "Forms of {} take the memory for forms, of {} bytes, and this one needs {}; try again later",
                 is_share_full ? "your other answers" : "other answers", limits_.bytes_max, bytes);
  }
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
  forms_.push_front({key, std::move(form)});
  by_key_[key] = forms_.begin();
  if (forms_.size() <= limits_.forms_max) return;
  by_key_.erase(forms_.back().key);
  forms_.pop_back();
}

}  // namespace slora
