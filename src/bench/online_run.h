#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/online_prompt.h"
#include "bench/traffic_target.h"
#include "bench/workload/served_request.h"
#include "bench/workload/trace.h"

namespace slora::bench {

// What became of a trace that was sent to a target. A request that was not sent before an interrupt has no outcome.
struct OnlineRun {
  std::vector<ServedRequest> served;                     // in the order of the trace, from its first request on
  std::vector<double> late_seconds;                      // of each, how long after its arrival it was sent
  std::int64_t prompt_tokens = 0;                        // of completed requests, as the server counts them; 0: it does not
  std::int64_t cached_tokens = 0;                        // of these, from the server's prefix cache
  std::string first_failure, first_abort, first_unsent;  // why, of the first that failed, was aborted or was not sent
  bool interrupted = false;
  double processor_seconds = 0;  // of this process
};

// Sends one short request and waits for its answer: an error says why the target does not take requests of this form.
[[nodiscard]] Status probe_target(TrafficTarget& target, const PromptOptions& prompts, const Clock& clock, const std::atomic<bool>& stop);

// Sends each request of the trace when it arrives, however many are running (an open loop), and waits until all have ended. One that can't
// be sent has failed, or is unsent when that is the client's own limit. `progress` is called with how many of how many have ended. When
// `stop` becomes true, running requests are abandoned and the target must not be used again. An error when the target is silent for as long
// as it may be.
[[nodiscard]] Result<OnlineRun> run_online(TrafficTarget& target, const Trace& trace, const PromptOptions& prompts, const Clock& clock,
                                           const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                                           const std::atomic<bool>& stop);

}  // namespace slora::bench
