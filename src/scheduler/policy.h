#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "memory/adapter_cache.h"
#include "scheduler/request.h"

namespace slora {

// What a policy may know of one sequence, at the start of a step.
struct SequenceView {
  SequenceId id;
  TenantId tenant;
  ClientId client;
  AdapterId adapter;
  std::int32_t priority = 0;  // lower is served earlier, by a policy that follows priorities
  Timestamp arrival{};
  Timestamp deadline = kNoDeadline;    // of its first token
  std::int32_t tokens_to_compute = 0;  // known tokens whose KV is not written: a prompt, one generated token, or both after preemption
  std::int32_t output_count = 0, output_tokens_max = 0;
  // Running: tokens that were read from the prefix cache. Otherwise those of tokens_to_compute that were found there when the sequence
  // came into the line, or when it last did not fit; the cache may hold more or fewer by now. 0 if the policy does not read it.
  std::int32_t cached_tokens = 0;
  std::uint32_t page_count = 0;                         // that it holds, cached prefix included; 0 while it waits
  std::uint32_t pages_to_start = 0;                     // that admission asks for if nothing is cached, without its adapter
  std::uint32_t pages_max = 0;                          // that it holds when it has generated all it may
  std::uint32_t adapter_page_count = 0;                 // read once in each step that has sequences of this adapter, however many
  AdapterState adapter_state = AdapterState::resident;  // of the base model: always resident
  std::int32_t preemption_count = 0;
  std::int32_t overtaken_count = 0;  // sequences that were admitted after it was tried and did not fit, in the same step
};

// How long a step took.
struct MeasuredStep {
  std::int64_t prompt_tokens = 0;  // computed in it, or computed again
  Timestamp elapsed{};

  bool operator==(const MeasuredStep&) const = default;
};

struct StepView {
  std::span<const SequenceView> waiting;    // by arrival
  std::span<const SequenceView> preempted;  // oldest first; tried before those waiting, whatever the policy decides
  std::span<const SequenceView> running;    // oldest first; includes sequences whose adapter is still loading
  Timestamp now{};
  std::int32_t places = 0;                   // running sequences that may get tokens in this step; the others pause and keep their pages
  std::int32_t prompt_tokens_max = 0;        // of this step, after one token for each sequence that generates
  std::uint32_t pages_available = 0;         // free or evictable, and promised to no running sequence
  std::span<const MeasuredStep> measured{};  // steps that were committed since the latest decision, as far as their times are known
};

inline constexpr std::int32_t kAnyPromptTokens = std::numeric_limits<std::int32_t>::max();

// What a policy decides for one step. Indices point into the spans of the StepView; none may appear twice in a list.
struct StepDecision {
  // The order in which waiting sequences are tried; initially by arrival. One that is left out is not tried in this step, unless nothing
  // runs: then those left out follow by arrival. The scheduler puts those in front that were overtaken as often as may be
  // (SchedulerOptions::overtaken_max), by arrival, whether they are listed or not.
  std::vector<std::size_t> queue;
  // Waiting sequences that end with EndReason::given_up. Initially none.
  std::vector<std::size_t> given_up;
  // The order in which running sequences get their next tokens; all of them, initially by age. When pages run out, the last one is
  // preempted first. The scheduler puts the oldest in front.
  std::vector<std::size_t> running;
  // How many places of this step are kept from the running sequences for the queue; initially 0, and never all. Those last in `running`
  // pause for them, unless the places are free in the end. So a waiting sequence can start in a step whose places are all in use.
  std::int32_t places_kept = 0;
  // Prompt tokens of this step at most, so that it ends earlier. Initially the step's own limit (StepView::prompt_tokens_max) is the only
  // one; what is less than 1 is taken for 1.
  std::int32_t prompt_tokens_max = kAnyPromptTokens;
  // How many waiting sequences that do not fit may be passed over in this step; initially 0: the first of them ends admission. No preempted
  // sequence is passed over, and none that was overtaken as often as may be. Trying others before a sequence, or not trying it, is not
  // passing it over, and is not bounded.
  std::int32_t passed_over_max = 0;
};

// Service that a sequence got, or that was spent on it. Each event is reported once; what is zero did not happen.
struct ServiceCharge {
  SequenceId id{};
  ClientId client{};
  AdapterId adapter{};
  std::int32_t prompt_tokens = 0;  // of the prompt, computed for it for the first time; also if they were cached before it was preempted
  std::int32_t recomputed_tokens = 0;  // of prompt and output, computed for it before and lost by preemption
  std::int32_t output_tokens = 0;      // generated
  // Of an image that was loaded for it or ahead: the first sequence that is admitted after the load is charged for it. A load ahead that is
  // evicted before is charged to nobody, and neither is that of a pinned adapter.
  std::uint32_t adapter_pages = 0;
  std::optional<EndReason> end{};  // it left
};

// Who is served when. Chosen at start and owned by the scheduler, which calls it on its thread: charge() and decide() at the start of
// every step, prompt_tokens() while the step is made. What it says of itself does not change. It decides within the scheduler's laws
// (scheduler.h) and cannot break them.
class Policy {
 public:
  virtual ~Policy() = default;
  // Whether the order depends on the requests' priorities. If not, requests that set one are refused.
  [[nodiscard]] virtual bool follows_priority() const { return false; }
  // Whether it reads SequenceView::cached_tokens of sequences that wait. Looking them up costs time in proportion to the prompt, whenever a
  // sequence comes into the line.
  [[nodiscard]] virtual bool reads_cached_tokens() const { return false; }
  // The error that clients get whose sequences it gives up: a stable code, and a sentence or two.
  [[nodiscard]] virtual Error given_up_error() const {
    return {"given_up", "The request waited too long to be scheduled; try again later.", {}};
  }
  // What happened since the last call: tokens of the plans made, output of the plans committed, loads, ends.
  virtual void charge(std::span<const ServiceCharge> charges) = 0;
  // `decision` arrives with its initial values.
  virtual void decide(const StepView& view, StepDecision& decision) = 0;
  // How many of the `left` prompt tokens of this step a prompt may take, from 0 (none in this step) to `left`; anything else is taken for
  // the nearer of the two. Called for running prompts in the decided order, then for each sequence that is tried. What is left in the end
  // goes to prompts that got less than they could use. The first to run in a step gets one token at least, and so does one that is
  // tried and was preempted, or overtaken as often as may be.
  [[nodiscard]] virtual std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) = 0;
};

}  // namespace slora
