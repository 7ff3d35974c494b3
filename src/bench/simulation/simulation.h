#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "bench/simulation/cost_model.h"
#include "bench/simulation/released_router.h"
#include "bench/workload/served_request.h"
#include "bench/workload/trace.h"
#include "scheduler/policies/policy_table.h"
#include "scheduler/scheduler.h"

namespace slora::bench {

// What is simulated: which model on which device, with which adapters, pool and policy.
struct SimulationSetup {
  ModelShape model;
  DeviceModel device;
  std::vector<std::int32_t> ranks;  // of adapters 0, 1, ... of the trace, in rotation
  AdapterCompute compute = AdapterCompute::gathered;
  SchedulerOptions scheduler;
  PolicyOptions policy;
  std::optional<ReleasedOptions> released;  // with this router in front of the scheduler, which then is FCFS
  double slo_seconds = 6;                   // requests have this deadline for their first token
};

// Of the model's pages, the largest pool of `tokens` tokens.
[[nodiscard]] std::uint32_t pages_of_tokens(const ModelShape& model, std::int64_t tokens);
// Tokens that fit next to the weights when a tenth of the device's memory is left free.
[[nodiscard]] std::int64_t pool_tokens_of(const ModelShape& model, const DeviceModel& device);

struct SimulationOutcome {
  std::vector<ServedRequest> served;  // [requests of the trace]
  double seconds = 0;                 // virtual time from the trace's start to the end of the last request
  std::uint64_t steps = 0, merges = 0;
  double step_seconds = 0;    // of all steps and merges
  double sequence_steps = 0;  // sum over steps of their sequences
  double adapter_steps = 0;   // sum over steps of their distinct adapters
  double copy_seconds = 0;    // in which an adapter was copied to the device
  double copied_bytes = 0;
  SchedulerStats stats;  // at the end
};

// Called now and then with the share of requests that have ended; false ends the run, and what has not ended is abandoned.
using SimulationProgress = std::function<bool(double share)>;

// Runs the production scheduler on the trace: requests arrive when it says, each step takes what the cost model says, adapters are copied
// one after the other while steps run. Time is virtual, and equal arguments give equal outcomes. An error when the policy has no such name
// or the pool can't hold what it must.
[[nodiscard]] Result<SimulationOutcome> simulate(const Trace& trace, const SimulationSetup& setup, const SimulationProgress& progress = {});

}  // namespace slora::bench
