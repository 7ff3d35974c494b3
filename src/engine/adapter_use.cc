#include "engine/adapter_use.h"

#include <utility>

#include "base/check.h"

namespace slora {

void AdapterUse::acquire(const std::shared_ptr<const AdapterVersion>& version) {
  Entry& entry = entries_[version->id()];
  entry.version = version;
  ++entry.sequence_count;
}

void AdapterUse::release(AdapterId adapter) {
  const auto entry = find(adapter);
  check(entry->second.sequence_count > 0, "expected a live sequence for every release of an adapter");
  --entry->second.sequence_count;
  forget_if_unused(entry);
}

const Error* AdapterUse::failure_of(AdapterId adapter) const {
  const auto entry = entries_.find(adapter);
  return entry != entries_.end() && entry->second.failure ? &*entry->second.failure : nullptr;
}

std::shared_ptr<const AdapterVersion> AdapterUse::begin_load(AdapterId adapter, Timestamp now) {
  Entry& entry = find(adapter)->second;
  check(entry.sequence_count > 0 && !entry.loading_since, "expected loads only of adapters that live sequences use, one at a time");
  entry.loading_since = now;
  ++loading_count_;
  entry.version->mark_load_begun();
  return entry.version;
}

Timestamp AdapterUse::land(AdapterId adapter, std::unique_ptr<const AdapterView> view, Timestamp now) {
  const auto entry = find(adapter);
  const Timestamp since = end_load(entry->second);
  entry->second.landed_at = now;
  entry->second.load_seconds = static_cast<float>(seconds(now - since));
  if (entry->second.view == nullptr) ++resident_count_;
  entry->second.view = std::move(view);
  entry->second.version->mark_resident();
  entry->second.resident = entry->second.version;
  forget_if_unused(entry);
  return since;
}

Timestamp AdapterUse::fail(AdapterId adapter, Error failure) {
  const auto entry = find(adapter);
  const Timestamp since = end_load(entry->second);
  entry->second.failure = std::move(failure);
  forget_if_unused(entry);
  return since;
}

std::optional<float> AdapterUse::load_seconds_since(AdapterId adapter, Timestamp since) const {
  const auto entry = entries_.find(adapter);
  return entry != entries_.end() && entry->second.landed_at > since ? std::optional(entry->second.load_seconds) : std::nullopt;
}

const AdapterView* AdapterUse::view_of(AdapterId adapter) const {
  const auto entry = entries_.find(adapter);
  return entry == entries_.end() ? nullptr : entry->second.view.get();
}

void AdapterUse::evict(AdapterId adapter) {
  const auto entry = entries_.find(adapter);
  if (entry == entries_.end() || entry->second.view == nullptr) return;
  entry->second.view.reset();
  if (const std::shared_ptr<const AdapterVersion> version = entry->second.resident.lock()) version->mark_evicted();
  --resident_count_;
  forget_if_unused(entry);
}

AdapterUse::Entries::iterator AdapterUse::find(AdapterId adapter) {
  const auto entry = entries_.find(adapter);
  check(entry != entries_.end(), "expected an adapter that is in use or loading");
  return entry;
}

Timestamp AdapterUse::end_load(Entry& entry) {
  check(entry.loading_since.has_value(), "expected outcomes only of loads that were started");
  const Timestamp since = *entry.loading_since;
  entry.loading_since.reset();
  --loading_count_;
  entry.version->mark_load_ended();
  return since;
}

void AdapterUse::forget_if_unused(Entries::iterator entry) {
  Entry& found = entry->second;
  if (found.sequence_count > 0 || found.loading_since) return;
  found.version.reset();
  found.failure.reset();
  if (found.view == nullptr) entries_.erase(entry);
}

}  // namespace slora
