// Where the adapters of an AdapterStore are.
#include "adapters/adapter_store.h"

namespace slora {

AdapterStanding AdapterStore::standing_of(const std::string& name, const Entry& entry) const {
  AdapterStanding standing{.name = name, .account = entry.account};
  if (const AdapterVersion* const version = entry.version.get()) {
    standing.is_in_pool = version->has_image();
    standing.is_on_host = host_images_.counts().images > 0 && host_images_.keep(version->id()) != nullptr;
    standing.is_pinned = version->is_pinned();
    standing.page_count = version->page_count();
  }
  return standing;
}

std::vector<AdapterStanding> AdapterStore::standings() const {
  const std::lock_guard lock(mutex_);
  std::vector<AdapterStanding> standings;
  for (const auto& [name, entry] : entries_) {
    // What has never been asked for nor loaded is passed quickly: there may be many thousands.
    const bool was_used = entry.account->used_at() != Timestamp(0) || entry.account->figures() != AdapterFigures{};
    if (was_used) standings.push_back(standing_of(name, entry));
  }
  return standings;
}

std::optional<AdapterStanding> AdapterStore::standing_of(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return std::nullopt;
  return standing_of(at->first, at->second);
}

bool AdapterStore::set_idle_time(std::string_view name, std::optional<Timestamp> time) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return false;
  at->second.account->set_idle_time(time);
  return true;
}

}  // namespace slora
