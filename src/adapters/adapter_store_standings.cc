// What an AdapterStore says of its adapters, and where they are.
#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

#include "adapters/adapter_store.h"

namespace slora {
namespace {

constexpr std::size_t kPieceMax = 64;  // adapters that are visited at once, while others wait

// An FNV hash of 64-bit words: of registrations, which have one name each and different numbers.
class ServedStamp {
 public:
  void add(std::uint64_t registration, bool is_refused, std::int32_t context_tokens_max) {
    for (const std::uint64_t word : {registration * 2 + (is_refused ? 1 : 0), static_cast<std::uint64_t>(context_tokens_max)})
      value_ = (value_ ^ word) * kPrime;
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  static constexpr std::uint64_t kBasis = 14695981039346656037U, kPrime = 1099511628211U;
  std::uint64_t value_ = kBasis;
};

}  // namespace

// Calls `visit` with each name after `begin` and its entry, in the order of names, as long as it returns true. The lock is given back after
// each piece, and the thread lets others run, for who waits for the lock gets it only if it comes first.
template <class Visit>
void AdapterStore::visit_after(std::string_view begin, Visit visit) const {
  std::string last(begin);
  for (bool goes_on = true; goes_on; std::this_thread::yield()) {
    const std::lock_guard lock(mutex_);
    auto at = entries_.upper_bound(last);
    for (std::size_t left = kPieceMax; goes_on && left > 0 && at != entries_.end(); --left, ++at) {
      goes_on = visit(at->first, at->second);
      if (left == 1) last = at->first;
    }
    goes_on = goes_on && at != entries_.end();
  }
}

std::vector<AdapterListing> AdapterStore::list() const {
  return list_after({}, std::numeric_limits<std::size_t>::max(), [](const std::string&) { return true; });
}

std::vector<AdapterListing> AdapterStore::list_after(std::string_view begin, std::size_t count_max,
                                                     const std::function<bool(const std::string& name)>& wanted) const {
  std::vector<AdapterListing> listings;
  if (count_max == 0) return listings;
  visit_after(begin, [&](const std::string& name, const Entry& entry) {
    if (wanted(name)) listings.push_back(listing_of(name, entry));
    return listings.size() < count_max;
  });
  return listings;
}

std::vector<AdapterId> AdapterStore::version_ids(const std::function<bool(const std::string& name)>& wanted) const {
  std::vector<AdapterId> ids;
  visit_after({}, [&](const std::string& name, const Entry& entry) {
    if (entry.version && wanted(name)) ids.push_back(entry.version->id());
    return true;
  });
  std::ranges::sort(ids);
  return ids;
}

AdapterListing AdapterStore::listing_of(const std::string& name, const Entry& entry) {
  return {name,
          entry.folder.path,
          entry.refused ? std::optional(*entry.refused) : std::nullopt,
          entry.base_model_name,
          entry.rank,
          entry.context_tokens_max,
          entry.unavailable == nullptr,
          entry.version};
}

// The stamp is of what was read, in pieces or not.
AdapterStore::Served AdapterStore::served() const {
  Served served;
  ServedStamp stamp;
  visit_after({}, [&](const std::string& name, const Entry& entry) {
    stamp.add(entry.registration, entry.refused != nullptr, entry.context_tokens_max);
    if (entry.refused) return true;
    served.names.push_back(name);
    served.context_tokens_max.push_back(entry.context_tokens_max);
    return true;
  });
  served.stamp = stamp.value();
  return served;
}

std::uint64_t AdapterStore::served_stamp() const {
  ServedStamp stamp;
  visit_after({}, [&](const std::string&, const Entry& entry) {
    stamp.add(entry.registration, entry.refused != nullptr, entry.context_tokens_max);
    return true;
  });
  return stamp.value();
}

AdapterCounts AdapterStore::counts() const {
  AdapterCounts counts;
  visit_after({}, [&](const std::string&, const Entry& entry) {
    ++counts.registered;
    if (entry.refused) ++counts.refused;
    if (entry.unavailable) ++counts.unavailable;
    return true;
  });
  const std::lock_guard lock(mutex_);
  counts.refused += left_out_.size();
  return counts;
}

std::vector<AdapterStanding> AdapterStore::standings() const {
  std::vector<AdapterStanding> standings;
  visit_after({}, [&](const std::string& name, const Entry& entry) {
    // What has never been asked for nor loaded is passed quickly: there may be many thousands.
    const bool was_used = entry.account->used_at() != Timestamp(0) || entry.account->figures() != AdapterFigures{};
    if (was_used) standings.push_back(standing_of(name, entry));
    return true;
  });
  return standings;
}

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
