#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "scheduler/policy.h"

namespace slora {

struct AdapterGroupLimits {
  // Distinct adapters of a batch: S-LoRA's parameter d. Positive; the largest value stands for no limit.
  std::size_t adapters_max = 8;
  // Pages of these adapters together. A step reads each page of each adapter once, however many sequences use it, so this bounds what
  // adapters add to the bytes of a step. One adapter is allowed whatever its size.
  std::uint32_t pages_max = std::numeric_limits<std::uint32_t>::max();
  // A sequence that has waited for longer is tried before younger ones, whatever its adapter.
  Timestamp wait_max = std::chrono::seconds(2);
};

inline constexpr std::size_t kAnyAdapterCount = std::numeric_limits<std::size_t>::max();

// Keeps the number of distinct adapters in a batch small (S-LoRA, section 4.2 and appendix A.2): the weights of each are read in every step,
// and each takes pages that could hold KV cache. The *group* are adapters that run, those that were in it before first, and, while
// the limits leave space, those of waiting sequences by arrival. The queue is tried in this order, by arrival within each:
//  1. sequences that waited longer than wait_max,
//  2. those of the group's adapters and of the base model, which costs nothing,
//  3. those whose adapter runs without being in the group, because of 1 or 4,
//  4. all others.
// So as long as enough sequences of 2 wait to fill the step's places, tokens or pages, no further adapter comes into the batch except by 1,
// and what is beyond the limits ends with the sequences that run. In S-LoRA's released code d is exceeded by any admission that begins
// below it.
//
// Starvation: a sequence that waits for longer than wait_max is overtaken by nobody who came later, as under FcfsPolicy. When the queue is
// always longer than that, the policy is first come, first served, so choose wait_max larger than what the queue should take.
// Without limits every plan is that of FcfsPolicy. It does not look at clients.
class AdapterGroupedPolicy final : public Policy {
 public:
  explicit AdapterGroupedPolicy(const AdapterGroupLimits& limits);

  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

 private:
  enum class Rank : unsigned char { overdue, grouped, running, other };
  struct Member {
    AdapterId adapter;
    bool is_grouped;  // or runs without being in the group
  };

  void form_group(const StepView& view);
  [[nodiscard]] bool fits_group(const SequenceView& sequence) const;
  void insert(const SequenceView& sequence, bool is_grouped);
  [[nodiscard]] static const Member* find(const std::vector<Member>& members, AdapterId adapter);
  [[nodiscard]] Rank rank_of(const SequenceView& sequence, Timestamp now) const;

  const AdapterGroupLimits limits_;
  // Of this step:
  std::vector<Member> members_, former_members_;  // by adapter; the latter of the step before
  std::size_t group_count_ = 0;
  std::uint64_t group_pages_ = 0;
  std::vector<Rank> ranks_;  // [waiting]
};

}  // namespace slora
