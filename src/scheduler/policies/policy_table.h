#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "scheduler/policies/adapter_grouped.h"
#include "scheduler/policies/deadline.h"
#include "scheduler/policies/fair_share.h"
#include "scheduler/policy.h"

namespace slora {

// Which policy, and what it is set to.
struct PolicyOptions {
  std::string name = "fair-share";
  ClientWeights client_weights;      // of fair-share
  AdapterGroupLimits adapter_group;  // of adapter-grouped
  DeadlineLimits deadlines;          // of deadline
};

struct PolicyEntry {
  std::string_view name;
  std::string_view summary;  // half a line of the command line's help
  std::unique_ptr<Policy> (*make)(const PolicyOptions& options);
};

// The policies that can be chosen, the default first.
[[nodiscard]] std::span<const PolicyEntry> policy_table();
// "NAME: summary; NAME: summary"
[[nodiscard]] std::string policy_summaries();
// Refused with code "bad_policy" when no policy has this name.
[[nodiscard]] Result<std::unique_ptr<Policy>> make_policy(const PolicyOptions& options);

}  // namespace slora
