#pragma once
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "scheduler/policies/fair_share.h"

namespace slora {

inline constexpr ClientId kA{1}, kB{2}, kC{3};

// For tests: views and decisions as a scheduler with these places and prompt tokens would make them.
struct FairShareCase {
  FairSharePolicy policy;
  std::vector<SequenceView> waiting, running;
  std::int32_t places = 8, prompt_tokens_max = 64;
  Timestamp now{};
  std::vector<MeasuredStep> measured;

  static SequenceView view_of(ClientId client, std::int32_t tokens) {
    SequenceView view;
    view.client = client;
    view.tokens_to_compute = tokens;
    view.output_tokens_max = 10;
    return view;
  }
  void wait(ClientId client, std::int32_t tokens = 4) { waiting.push_back(view_of(client, tokens)); }
  void run(ClientId client, std::int32_t tokens = 1) { running.push_back(view_of(client, tokens)); }
  void charge(const ServiceCharge& charge) { policy.charge({&charge, 1}); }
  StepDecision decide() {
    StepDecision decision;
    decision.queue.resize(waiting.size());
    std::iota(decision.queue.begin(), decision.queue.end(), std::size_t{0});
    decision.running.resize(running.size());
    std::iota(decision.running.begin(), decision.running.end(), std::size_t{0});
    StepView view;
    view.waiting = waiting;
    view.running = running;
    view.places = places;
    view.prompt_tokens_max = prompt_tokens_max;
    view.now = now;
    view.measured = measured;
    policy.decide(view, decision);
    measured.clear();
    return decision;
  }
  // Makes four steps of 64 prompt tokens of this client, each of this time: as many as are measured before one is limited.
  void make_steps(ClientId client, Timestamp time) {
    for (int i = 0; i < 4; ++i) {
      static_cast<void>(decide());
      charge({.client = client, .prompt_tokens = 64});
      now += time;
      measured.push_back({64, time});
    }
  }
};

}  // namespace slora
