#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "scheduler/policies/client_accounts.h"
#include "scheduler/policies/prefill_model.h"
#include "scheduler/policies/prompt_shares.h"
#include "scheduler/policy.h"

namespace slora {

// Weights of clients: one with weight 2 gets twice the service of one with weight 1, which is every other's. Positive.
using ClientWeights = std::unordered_map<ClientId, double>;

// Serves clients alike, whatever each asks for: the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models"
// (OSDI 2024). Each client has a counter of what its service cost; the client with the lowest comes first, and its own sequences by
// arrival. The rules, with what this scheduler needs in addition to the paper:
// - The level is the lowest counter of those that wait, or, if nobody waits, that of the client that left the queue last; it never falls. A
//   client that comes to the queue for the first time is lifted to the level: otherwise whoever has a new identity for each request would
//   come first. A client that comes back keeps what it had used less than its part as a credit of at most kCreditMax: it is lifted to the
//   level less that. So the steps after its arrival compute its prompts first, until it has caught up. Being served alone gives no debt.
// - Tokens that preemption lost and pages of adapters that were loaded for a client are charged to it, too; the latter when a sequence is
//   admitted. Loads ahead may be evicted and repeated while it waits: a client that paid for each would fall ever further behind.
// - Prompts that were admitted and not yet computed count when the queue is ordered, as the paper charges them at admission.
// - The prompt tokens of a step go to the clients with the lowest counters, as if tokens were dealt one by one, so that a long prompt of
//   one client does not hold up the others'. A client's prompts share what it gets as PromptShares says.
// - A request waits for the step that runs when it comes. So, while several clients were there within kAwayTime, the prompt tokens of a
//   step are limited to those that take kSharedStepTime, as PrefillModel measures it, but never to less than 1 / kSharedStepPart of the
//   whole step. Where whole steps are faster than that, they stay whole. Not limited is what clients get before the one that got most gets
//   any, and likewise prompts of new clients, while they are at most kFewTokens together: in small steps they would be computed next to
//   more of the tokens that others generate.
// - Every client that has sequences is entitled to an equal part of the places of a step. Sequences beyond their client's part pause
//   when one within its client's part needs the place, and are preempted before others.
// Between two clients that both wait all the time, the difference in cost is bounded by the cost of what may be admitted at once, and the
// credit with which the one that got more came; see FairnessCheck. With a single client, and none besides within kAwayTime,
// every decision is that of FcfsPolicy.
class FairSharePolicy final : public Policy {
 public:
  // In prompt tokens.
  static constexpr double kPromptCost = 1, kOutputCost = 2, kRecomputedCost = 1, kAdapterPageCost = 1;

  // What a client that comes back may be ahead by, divided by its weight: a prompt of 4,096 tokens. Larger ones delay others longer, and
  // most prompts are smaller.
  static constexpr double kCreditMax = 4096 * kPromptCost;

  // Of steps that others may have to wait for.
  static constexpr Timestamp kSharedStepTime = std::chrono::milliseconds(25);
  static constexpr std::int32_t kSharedStepPart = 4;                // smaller steps read the weights too often
  static constexpr std::int64_t kFewTokens = 4096;                  // as kCreditMax
  static constexpr Timestamp kAwayTime = std::chrono::seconds(60);  // then a client without sequences is gone

  explicit FairSharePolicy(ClientWeights weights = {}, double credit_max = kCreditMax, Timestamp shared_step_time = kSharedStepTime)
      : weights_(std::move(weights)), credit_max_(credit_max), shared_step_time_(shared_step_time) {}

  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

  // The counter of a client; 0 when it is not known (any more).
  [[nodiscard]] double served(ClientId client) const;
  [[nodiscard]] std::size_t client_count() const { return accounts_.size(); }

 private:
  static constexpr std::size_t kAccountsMin = 256;
  static constexpr std::size_t kAccountsMax = 1 << 16;  // then even those are forgotten that got more than others

  // One sequence of the view, with what orders it.
  struct Place {
    std::uint32_t account;
    bool is_beyond;      // running: its client has more than its part
    std::int32_t ready;  // waiting: sequences of its client that run
    double served;       // waiting: what its client will have been served when it is due
  };

  [[nodiscard]] std::uint32_t account_of(ClientId client);
  void collect(const StepView& view);
  void lift_returning();
  void forget_idle();
  void order_queue(const StepView& view, StepDecision& decision);
  void order_running(const StepView& view, StepDecision& decision);
  void keep_places(const StepView& view, StepDecision& decision);
  void note_clients(Timestamp now);
  [[nodiscard]] std::int32_t prompt_tokens_max_of(const StepView& view);
  [[nodiscard]] std::int64_t tokens_owed();
  void share_prompt_tokens(std::int64_t token_count);

  const ClientWeights weights_;
  const double credit_max_;
  const Timestamp shared_step_time_;
  PrefillModel prefill_{Timestamp{}};
  std::optional<ClientId> latest_client_;      // one of those that had sequences in the latest step that had any
  Timestamp latest_time_{};                    // of that step
  Timestamp shared_until_ = Timestamp::min();  // kAwayTime after the latest step with another client than the step before, or with several
  ClientAccounts accounts_;
  double level_ = 0;    // to which a new client is lifted
  ClientId last_left_;  // left the queue when nobody else was in it
  std::uint64_t step_ = 0;
  std::size_t accounts_max_ = kAccountsMin;  // before idle ones are forgotten
  std::uint64_t forgotten_step_ = 0;         // in which some were forgotten last
  // Of this step:
  std::vector<std::uint32_t> live_;       // accounts with sequences
  std::vector<Place> running_, waiting_;  // [of the view]
  double weight_sum_ = 0;                 // of live_
  PromptShares shares_;                   // within a client
  bool shares_prompt_tokens_ = false;     // among clients
  bool holds_back_ = false;               // a sequence of the queue got no prompt tokens
  std::int32_t prompt_tokens_left_ = 0;   // at the latest call of prompt_tokens
  std::uint32_t prompt_account_ = 0;      // of that call
};

}  // namespace slora
