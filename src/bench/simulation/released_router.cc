#include "bench/simulation/released_router.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "base/check.h"

namespace slora::bench {

std::string_view name_of(ReleasedOrder order) {
  switch (order) {
    case ReleasedOrder::fcfs:
      return "slora-fcfs";
    case ReleasedOrder::lcfs:
      return "slora-lcfs";
    case ReleasedOrder::abort:
      return "slora-abort";
    case ReleasedOrder::clustered:
      return "slora-cluster";
    case ReleasedOrder::merged:
      break;
  }
  return "slora-merge";
}

void ReleasedRouter::route(double now, std::vector<std::int32_t>& admitted, std::vector<std::int32_t>& aborted) {
  if (!running_.empty() && steps_ < kStepsBetweenAdmissions) return;
  const std::vector<std::int32_t> now_admitted = admit(now, aborted);
  admitted.insert(admitted.end(), now_admitted.begin(), now_admitted.end());
  steps_ = now_admitted.empty() ? kStepsBetweenAdmissions - 1 : kJustAdmitted;
}

std::vector<std::int32_t> ReleasedRouter::admit(double now, std::vector<std::int32_t>& aborted) {
  std::vector<std::int32_t> admitted;
  if (running_.size() >= options_.running_max) return admitted;
  if (options_.order == ReleasedOrder::abort) abort_late(now, aborted);
  std::vector<unsigned char> is_taken(waiting_.size());
  std::int64_t prompt_tokens = 0;
  for (const std::size_t at : order()) {
    const RoutedRequest& request = waiting_[at];
    prompt_tokens += request.input_tokens;
    if (prompt_tokens > options_.admission_tokens_max && !admitted.empty()) break;
    running_.push_back({request.index, request.adapter, request.adapter_tokens, request.input_tokens, request.output_tokens});
    if (!fits(running_)) {
      running_.pop_back();
      if (!running_.empty()) break;
      aborted.push_back(request.index);  // not even alone
      is_taken[at] = 1;
      continue;
    }
    admitted.push_back(request.index);
    is_taken[at] = 1;
  }
  std::size_t kept = 0;
  for (std::size_t at = 0; at < waiting_.size(); ++at)
    if (is_taken[at] == 0) waiting_[kept++] = waiting_[at];
  waiting_.resize(kept);
  if (admitted.empty()) return admitted;
  queue_after_admission_ = std::ssize(waiting_);
  const double rate = kRateMemory * static_cast<double>(admitted.size()) + (1 - kRateMemory) * static_cast<double>(admission_rate_);
  admission_rate_ = std::max<std::int64_t>(static_cast<std::int64_t>(rate), 1);
  return admitted;
}

void ReleasedRouter::abort_late(double now, std::vector<std::int32_t>& aborted) {
  const auto arrived = static_cast<double>(std::ssize(waiting_) - queue_after_admission_);
  arrival_rate_ = static_cast<std::int64_t>(kRateMemory * arrived + (1 - kRateMemory) * static_cast<double>(arrival_rate_));
  std::erase_if(waiting_, [&](const RoutedRequest& request) {
    const bool is_late = now - request.arrival + kPrefillSeconds >= options_.slo_seconds;
    if (is_late) aborted.push_back(request.index);
    return is_late;
  });
}

std::vector<std::size_t> ReleasedRouter::order() const {
  if (options_.order == ReleasedOrder::clustered) return clustered_order();
  if (options_.order == ReleasedOrder::merged) return merged_order();
  std::vector<std::size_t> order(waiting_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const bool is_overloaded = options_.order == ReleasedOrder::abort && arrival_rate_ >= admission_rate_;
  if (options_.order == ReleasedOrder::lcfs || is_overloaded) std::ranges::reverse(order);
  return order;
}

std::vector<std::size_t> ReleasedRouter::clustered_order() const {
  std::set<AdapterId> adapters;
  for (const Running& running : running_) adapters.insert(running.adapter);
  std::vector<std::size_t> order(waiting_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (std::cmp_greater_equal(adapters.size(), options_.cluster_adapters))
    std::ranges::stable_partition(order, [&](std::size_t at) { return adapters.contains(waiting_[at].adapter); });
  return order;
}

std::vector<std::size_t> ReleasedRouter::merged_order() const {
  std::vector<std::size_t> order;
  if (waiting_.empty()) return order;
  const AdapterId merged = running_.empty() ? waiting_.front().adapter : running_.front().adapter;
  for (std::size_t at = 0; at < waiting_.size(); ++at) {
    if (order.empty() && at > std::size_t{kOthersMax}) break;  // all before this one are of other adapters
    if (waiting_[at].adapter == merged) order.push_back(at);
  }
  return order;
}

// At the step in which the i-th of the sequences with the most tokens left ends, those before it in this order have grown by as much.
bool ReleasedRouter::fits(const std::vector<Running>& batch) const {
  if (batch.size() > options_.running_max) return false;
  std::vector<Running> sorted = batch;
  std::ranges::sort(sorted, std::ranges::greater{}, &Running::remaining);
  std::int64_t length = 0, peak = 0, count = 0;
  for (const Running& running : sorted) {
    length += running.length();
    peak = std::max(peak, length + running.remaining() * ++count);
  }
  std::set<AdapterId> adapters;
  std::int64_t adapter_tokens = 0;
  for (const Running& running : sorted)
    if (adapters.insert(running.adapter).second) adapter_tokens += running.adapter_tokens;
  return peak + adapter_tokens < options_.pool_tokens;
}

void ReleasedRouter::count_token(std::int32_t index) {
  const auto found = std::ranges::find(running_, index, &Running::index);
  check(found != running_.end(), "expected a token of an admitted request");
  ++found->tokens;
}

void ReleasedRouter::end(std::int32_t index) {
  std::erase_if(running_, [&](const Running& running) { return running.index == index; });
}

}  // namespace slora::bench
