#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "scheduler/policies/adapter_grouped.h"
#include "scheduler/policy.h"

namespace slora {

// For tests: whether AdapterGroupedPolicy keeps its promises, from views alone, so without its idea of the group.
class GroupingCheck {
 public:
  explicit GroupingCheck(const AdapterGroupLimits& limits) : limits_(limits) {}

  // Called with every view. What is wrong in what was admitted since the view before, or nothing.
  [[nodiscard]] std::string compare(const StepView& view);

 private:
  struct Waiting {
    AdapterId adapter;
    std::uint32_t adapter_pages;
    bool is_overdue;
  };
  [[nodiscard]] std::string check_overdue(const StepView& view) const;
  [[nodiscard]] std::string check_limits(const StepView& view) const;

  const AdapterGroupLimits limits_;
  // Of the view before:
  std::vector<SequenceId> queue_;  // by arrival
  std::map<SequenceId, Waiting> waiting_;
  std::map<AdapterId, std::uint32_t> running_;  // pages of the adapters of running and preempted sequences
};

}  // namespace slora
