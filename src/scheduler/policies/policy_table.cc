#include "scheduler/policies/policy_table.h"

#include "scheduler/policies/adapter_grouped.h"
#include "scheduler/policies/deadline.h"
#include "scheduler/policies/fair_share.h"
#include "scheduler/policies/fcfs.h"
#include "scheduler/policies/priority.h"

namespace slora {
namespace {

constexpr PolicyEntry kPolicies[] = {
    {"fair-share", "by what each client got so far, the one with least first, then by arrival",
     [](const PolicyOptions& options) -> std::unique_ptr<Policy> { return std::make_unique<FairSharePolicy>(options.client_weights); }},
    {"fcfs", "by arrival", [](const PolicyOptions&) -> std::unique_ptr<Policy> { return std::make_unique<FcfsPolicy>(); }},
    {"priority", "by the requests' priority, lower first, then by arrival",
     [](const PolicyOptions&) -> std::unique_ptr<Policy> { return std::make_unique<PriorityPolicy>(); }},
    {"adapter-grouped", "those whose adapters run already, then by arrival",
     [](const PolicyOptions& options) -> std::unique_ptr<Policy> { return std::make_unique<AdapterGroupedPolicy>(options.adapter_group); }},
    {"deadline", "by arrival, or the newest under overload; refuses what would get its first token too late",
     [](const PolicyOptions& options) -> std::unique_ptr<Policy> { return std::make_unique<DeadlinePolicy>(options.deadlines); }},
};

}  // namespace

std::span<const PolicyEntry> policy_table() { return kPolicies; }

std::string policy_summaries() {
  std::string text;
  for (const PolicyEntry& entry : kPolicies) {
    if (!text.empty()) text += "; ";
    text.append(entry.name).append(": ").append(entry.summary);
  }
  return text;
}

Result<std::unique_ptr<Policy>> make_policy(const PolicyOptions& options) {
  std::string names;
  for (const PolicyEntry& entry : kPolicies) {
    if (entry.name == options.name) return entry.make(options);
    names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  return error("bad_policy", "policy: expected one of {}, found \"{}\"", names, options.name);
}

}  // namespace slora
