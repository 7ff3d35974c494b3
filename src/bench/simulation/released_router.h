#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace slora::bench {

// In which order the queue is tried, and what may join a batch.
enum class ReleasedOrder : std::uint8_t {
  fcfs,       // by arrival
  lcfs,       // the newest first; in the paper's Figure 10, not in the released code
  abort,      // early abort: drops what can't meet the SLO any more; the newest first while more arrive than are admitted
  clustered,  // once the batch has `cluster_adapters` adapters, their requests first, then the others by arrival
  merged,     // only requests of the batch's adapter, which is merged into the weights
};
[[nodiscard]] std::string_view name_of(ReleasedOrder order);

struct ReleasedOptions {
  ReleasedOrder order = ReleasedOrder::fcfs;
  std::int32_t cluster_adapters = 8;      // d; clustered only
  std::int64_t pool_tokens = 0;           // T, for KV and adapters together
  std::int64_t admission_tokens_max = 0;  // prompt tokens of one admission: max(T / 6, the longest request) in S-LoRA
  std::size_t running_max = 1000;
  double slo_seconds = 6;  // of the first token; abort only
};

// A request as the router sees it. Lengths are exact, because nothing ends an answer early.
struct RoutedRequest {
  std::int32_t index = 0;  // in the trace
  AdapterId adapter = kNoAdapter;
  std::int64_t adapter_tokens = 0;  // that its adapter takes of the pool
  std::int32_t input_tokens = 1, output_tokens = 1;
  double arrival = 0;  // seconds
};

// The queue of the S-LoRA repository (slora/server/router: req_queue, abort_req_queue, cluster_req_queue, peft_req_queue, and the loop of
// manager.py), as it decides, to be compared with this project's policies. It stands before the scheduler, which gets what it admits:
// - Admission is tried when nothing runs, and else 10 steps after that of the last prompts, then before each step until something is
//   admitted. Time without a step, such as waiting for an adapter, does not count.
// - A request is admitted only if the batch fits in the pool at every later step, all outputs at full length; it waits with all after it
//   if not. So nothing is ever preempted.
// - Early abort: requests that wait for (SLO - 0.5 s) or longer are dropped. R1 = int(0.7 (queue - queue after the last admission) +
//   0.3 R1) estimates arrivals, R2 = max(int(0.7 admitted + 0.3 R2), 1) admissions; if R1 >= R2 the newest are tried first.
// - Merged: another adapter's requests come when the batch has ended. No request joins the batch once more than 30 requests of other
//   adapters come before it in the queue.
class ReleasedRouter {
 public:
  explicit ReleasedRouter(const ReleasedOptions& options) : options_(options) {}

  // By arrival.
  void add(const RoutedRequest& request) { waiting_.push_back(request); }
  // To be called before every step, and when something else has happened. Appends the indices of the requests that are admitted now, and of
  // those that are dropped.
  void route(double now, std::vector<std::int32_t>& admitted, std::vector<std::int32_t>& aborted);
  // A step was computed.
  void count_step() { ++steps_; }
  // One of the admitted requests yielded a token, or ended.
  void count_token(std::int32_t index);
  void end(std::int32_t index);

 private:
  static constexpr int kStepsBetweenAdmissions = 10;
  static constexpr int kJustAdmitted = -1;        // the step that computes the admitted prompts is none of the ten
  static constexpr int kOthersMax = 30;           // merged: requests of other adapters that may come before one that joins
  static constexpr double kPrefillSeconds = 0.5;  // abort: what a prefill is assumed to take
  static constexpr double kRateMemory = 0.7;      // abort: weight of the latest period

  struct Running {
    std::int32_t index;
    AdapterId adapter;
    std::int64_t adapter_tokens, input_tokens, output_tokens;
    std::int64_t tokens = 0;  // of its output, so far

    [[nodiscard]] std::int64_t length() const { return input_tokens + std::max<std::int64_t>(tokens, 1); }
    [[nodiscard]] std::int64_t remaining() const { return output_tokens - tokens - 1; }
  };

  [[nodiscard]] std::vector<std::int32_t> admit(double now, std::vector<std::int32_t>& aborted);
  void abort_late(double now, std::vector<std::int32_t>& aborted);
  // The queue's indices in the order in which they are tried.
  [[nodiscard]] std::vector<std::size_t> order() const;
  [[nodiscard]] std::vector<std::size_t> clustered_order() const;
  [[nodiscard]] std::vector<std::size_t> merged_order() const;
  [[nodiscard]] bool fits(const std::vector<Running>& batch) const;

  const ReleasedOptions options_;
  std::vector<RoutedRequest> waiting_;  // by arrival
  std::vector<Running> running_;
  int steps_ = 0;  // since the admitted prompts were computed
  std::int64_t arrival_rate_ = 1, admission_rate_ = 1, queue_after_admission_ = 0;
};

}  // namespace slora::bench
