#include <algorithm>
#include <utility>

#include "engine/engine_loop.h"

namespace slora {
namespace {

constexpr Timestamp kLoadWait = std::chrono::milliseconds(100);

}  // namespace

// An exception (memory ran out, as a rule) may have left scheduler and pool between two states, and nothing tells which pages are whose. So
// every sequence ends with an error and the pool begins empty. May throw for lack of memory, and is then repeated: each part is done once.
void EngineLoop::start_anew() {
  drop_inbox_contents();  // what the exception left of them
  for (;;) {              // loads write into pages of the pool
    beat();
    loader_.give_up_hanging(clock_.now());  // else one that hangs would keep the engine from beginning anew
    inbox_.drain_into(inbox_contents_);
    outcomes_taken_ = submissions_taken_ = 0;
    drop_inbox_contents();
    if (loads_running_ == 0) break;
    inbox_.wait_for(kLoadWait);
  }
  drain_steps();  // these read and write pages, too
  fail_live_sequences();
  ended_.clear();
  evicted_.clear();
  span_sequences_.clear();
  suspended_.clear();
  adapter_use_ = {};
  shared_images_ = {};
  pins_.begin_anew();
  scheduler_.reset();
  scheduler_.emplace(options_.scheduler, make_policy_());
  metrics_.begin_anew();
  is_broken_ = false;
}

void EngineLoop::drop_inbox_contents() {
  const std::vector<Submission>& submissions = inbox_contents_.submissions;
  events_.reserve(events_.size() + submissions.size() - submissions_taken_);
  for (; submissions_taken_ < submissions.size(); ++submissions_taken_) refuse(submissions[submissions_taken_].request.id, broken_by_);
  for (; outcomes_taken_ < inbox_contents_.outcomes.size(); ++outcomes_taken_) {
    --loads_running_;
    loader_.forget(inbox_contents_.outcomes[outcomes_taken_].adapter, clock_.now());
  }
  for (std::function<void(bool)>& on_done : inbox_contents_.clearings) {
    if (const std::function<void(bool)> waiting = std::exchange(on_done, {})) waiting(false);
  }
  for (LookAtPages& look : inbox_contents_.looks) {
    if (const LookAtPages waiting = std::exchange(look, {})) waiting(nullptr);
  }
  for (EngineCommand& command : inbox_contents_.commands) {
    if (const std::function<void(Status)> waiting = std::exchange(command.on_done, {})) waiting(tl::unexpected(broken_by_));
  }
}

void EngineLoop::fail_live_sequences() {
  std::erase_if(events_, [&](const TokenEvent& event) { return live_.contains(event.sequence); });
  events_.reserve(events_.size() + live_.size());
  for (const auto& [id, sequence] : live_) refuse(id, broken_by_);
  live_.clear();
}

}  // namespace slora
