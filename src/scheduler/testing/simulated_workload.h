#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "scheduler/policies/adapter_grouped.h"
#include "scheduler/policies/deadline.h"
#include "scheduler/policies/fair_share.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/simulated_device.h"

namespace slora {

enum class SimulatedPolicy : std::uint8_t { fcfs, random, least_served, fair_share, adapter_grouped, deadline };

// One simulation: the size of the pool and the load, and how often what goes wrong. Chances are per step.
struct SimulationOptions {
  std::uint64_t seed = 0;
  SchedulerOptions scheduler;
  SimulatedModel model;
  SimulatedPolicy policy = SimulatedPolicy::fcfs;
  std::int32_t prompt_tokens_max = 40, output_tokens_max = 40;
  std::uint64_t adapter_count = 0;  // names, not contents
  std::uint32_t adapter_pages_max = 1;
  double adapter_skew = 1;               // Zipf's exponent
  std::uint64_t shared_image_count = 0;  // that contents have in common
  std::uint32_t shared_pages_max = 1;
  std::uint32_t tenant_count = 1;
  std::uint64_t client_count = 1;  // from 1 on; the latter half of them comes and goes
  ClientWeights client_weights;
  double client_credit_max = 0;          // of fair-share
  Timestamp client_shared_step_time{0};  // likewise
  AdapterGroupLimits adapter_group;
  DeadlineLimits deadlines;
  std::int32_t priority_count = 1;
  std::int64_t deadline_steps_max = 400;
  double burst_chance = 0.1;
  std::int64_t burst_requests_max = 4;
  double cancel_chance = 0;
  double replace_chance = 0;
  double pin_chance = 0;        // that some adapter is pinned, and that one that is pinned is unpinned
  double load_fail_chance = 0;  // per load
  std::int64_t load_steps_max = 4;
  double adapter_chance = 0.7, scored_chance = 0.05, familiar_chance = 0.5;  // per request
  double suspend_chance = 0;       // per token of the sequences that plans wait for, which there are if it is not 0; once it has no token
  double late_adapter_chance = 0;  // that an adapter acts from some position of the prompt on
};

// A different simulation for every seed: each enables some of the difficulties and draws their rates (swarm testing).
[[nodiscard]] SimulationOptions draw_options(std::uint64_t seed);

struct SimulatedRequest {
  SequenceRequest request;
  std::int32_t earlier_prompt_count = -1;  // when it continues an earlier stream: how much of its prompt was that one's prompt
};

// Clients: whose requests come, with which prompts, for which adapters. Owned by the simulator.
class SimulatedWorkload {
 public:
  explicit SimulatedWorkload(const SimulationOptions& options);

  [[nodiscard]] SimulatedRequest draw_request(SimulatedRandom& random);
  // A stream that ended may be continued by a later request of the same tenant.
  void remember(const SequenceRequest& request, std::int32_t prompt_count, const std::vector<TokenId>& tokens);
  // The content of some name, and its pages. Requires: adapter_count > 0.
  [[nodiscard]] std::pair<AdapterId, std::uint32_t> draw_content(SimulatedRandom& random) const;
  // What a content shares with others: nothing, an image, or, as a blend may, two.
  [[nodiscard]] std::vector<SharedImage> shared_of(AdapterId content) const;
  // Gives some name a new content and returns the old one. Requires: adapter_count > 0.
  [[nodiscard]] AdapterId replace_some(SimulatedRandom& random);

 private:
  struct Name {
    AdapterId content;
    std::uint32_t page_count;
  };
  struct Conversation {
    TenantId tenant;
    AdapterId adapter;
    std::uint32_t adapter_page_count;
    std::int32_t adapter_begin;
    std::int32_t prompt_count;
    std::vector<TokenId> tokens;
  };
  [[nodiscard]] ClientId client_of(SequenceId id) const;
  [[nodiscard]] std::size_t draw_name(SimulatedRandom& random) const;
  [[nodiscard]] Name make_content(SimulatedRandom& random);
  [[nodiscard]] std::vector<TokenId> draw_prompt(SimulatedRandom& random) const;

  const SimulationOptions options_;
  std::vector<Name> names_;
  std::vector<double> popularity_;              // [adapter_count] cumulative
  std::vector<std::vector<TokenId>> families_;  // prompts begin like one of these
  std::vector<Conversation> conversations_;     // a ring of the latest
  std::size_t next_conversation_ = 0;
  std::uint64_t next_content_ = 1, next_sequence_ = 1;
};

}  // namespace slora
