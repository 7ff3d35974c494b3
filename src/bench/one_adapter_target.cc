#include "bench/one_adapter_target.h"

#include <algorithm>
#include <utility>

namespace slora::bench {
namespace {

constexpr std::size_t kOthersMax = 30;  // requests of other adapters that may wait when one joins

}  // namespace

Status OneAdapterTarget::send(std::size_t request, const TrafficRequest& content) {
  if (running_count_ == 0 && waiting_.empty()) adapter_ = content.adapter;
  if (content.adapter == adapter_ && waiting_.size() <= kOthersMax) return pass(request, content);
  waiting_.push_back({request, content});
  return {};
}

Status OneAdapterTarget::wait(std::vector<TrafficEvent>& events, Timestamp until) {
  const std::size_t known = events.size();
  if (Status waited = inner_->wait(events, until); !waited) return waited;
  running_count_ -= static_cast<std::size_t>(std::count_if(events.begin() + static_cast<std::ptrdiff_t>(known), events.end(),
                                                           [](const TrafficEvent& event) { return event.ended; }));
  return running_count_ == 0 ? pass_next_adapter() : Status();
}

Status OneAdapterTarget::pass(std::size_t request, const TrafficRequest& content) {
  Status sent = inner_->send(request, content);
  if (sent) ++running_count_;
  return sent;
}

Status OneAdapterTarget::pass_next_adapter() {
  if (waiting_.empty()) return {};
  adapter_ = waiting_.front().content.adapter;
  std::size_t others = 0;
  for (auto next = waiting_.begin(); next != waiting_.end() && others <= kOthersMax;) {
    if (next->content.adapter != adapter_) {
      ++others;
      ++next;
      continue;
    }
    if (Status sent = pass(next->request, next->content); !sent) return sent;
    next = waiting_.erase(next);
  }
  return {};
}

}  // namespace slora::bench
