#include "adapters/adapter_account.h"

#include <algorithm>
#include <cmath>

namespace slora {
namespace {

constexpr Timestamp kHalfLife = std::chrono::minutes(10);
constexpr double kMicroseconds = 1e6;

template <class Values, class Other, class Change>
void change_each(Values& values, const Other& others, Change change) {
  for (std::size_t i = 0; i < values.size(); ++i) change(values[i], others[i]);
}

}  // namespace

AdapterFigures& AdapterFigures::operator+=(const AdapterFigures& other) {
  const auto add = [](std::uint64_t& value, std::uint64_t more) { value += more; };
  change_each(counts, other.counts, add);
  change_each(first_tokens, other.first_tokens, add);
  return *this;
}

AdapterFigures& AdapterFigures::operator-=(const AdapterFigures& other) {
  const auto subtract = [](std::uint64_t& value, std::uint64_t less) { value -= std::min(value, less); };
  change_each(counts, other.counts, subtract);
  change_each(first_tokens, other.first_tokens, subtract);
  return *this;
}

void AdapterAccount::add(AdapterFigure figure, std::uint64_t amount) {
  counts_[static_cast<std::size_t>(figure)].fetch_add(amount, std::memory_order_relaxed);
  if (total_) total_->add(figure, amount);
}

void AdapterAccount::observe_first_token(double seconds) {
  const auto range = static_cast<std::size_t>(std::ranges::lower_bound(kFirstTokenSeconds, seconds) - kFirstTokenSeconds.begin());
  for (AdapterAccount* account : {this, total_.get()}) {
    if (account == nullptr) continue;
    account->first_tokens_[range].fetch_add(1, std::memory_order_relaxed);
  }
  add(AdapterFigure::first_token_microseconds, static_cast<std::uint64_t>(std::max(seconds, 0.0) * kMicroseconds));
}

AdapterFigures AdapterAccount::figures() const {
  AdapterFigures figures;
  const auto read = [](std::uint64_t& value, const std::atomic<std::uint64_t>& counted) {
    value = counted.load(std::memory_order_relaxed);
  };
  change_each(figures.counts, counts_, read);
  change_each(figures.first_tokens, first_tokens_, read);
  return figures;
}

double AdapterAccount::recent_requests(Timestamp now) const {
  const double halvings = std::max(seconds(now - used_at()) / seconds(kHalfLife), 0.0);
  return recent_requests_.load(std::memory_order_relaxed) * std::exp2(-halvings);
}

void AdapterAccount::note_request(Timestamp now) {
  add(AdapterFigure::requests);
  note(now, 1);
}

void AdapterAccount::note(Timestamp now, double requests) {
  recent_requests_.store(recent_requests(now) + requests, std::memory_order_relaxed);
  used_at_.store(now.count(), std::memory_order_relaxed);
}

std::optional<Timestamp> AdapterAccount::idle_time() const {
  const Timestamp::rep time = idle_time_.load(std::memory_order_relaxed);
  return time == kAsServer ? std::nullopt : std::optional(Timestamp(time));
}

void AdapterAccount::set_idle_time(std::optional<Timestamp> time) {
  idle_time_.store(time ? time->count() : kAsServer, std::memory_order_relaxed);
}

}  // namespace slora
