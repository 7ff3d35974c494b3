#include "api/job_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "api/generation_job.h"
#include "base/check.h"

namespace slora {

namespace {

// How long an output is taken to be before any has ended, and how much those count that have.
constexpr double kOutputTokensFirst = 128;
constexpr std::uint64_t kFirstWeight = 8, kWeightMax = 256;  // in sequences

}  // namespace

JobTable::JobTable() : output_tokens_mean_(kOutputTokensFirst) {}

void JobTable::add(SequenceId id, std::shared_ptr<GenerationJob> job, std::size_t choice_index, SequenceTokens tokens) {
  const bool fresh = jobs_.emplace(id, Place{std::move(job), choice_index, tokens}).second;
  check(fresh, "expected a sequence to be submitted once");
}

void JobTable::deliver(std::vector<TokenEvent> events) {
  for (const TokenEvent& event : events) {
    const auto entry = jobs_.find(event.sequence);
    if (entry == jobs_.end()) continue;
    count(entry->second, event);
    const Place place = entry->second;
    if (event.end) jobs_.erase(entry);
    place.job->on_event(place.choice_index, event);
  }
}

void JobTable::count(Place& place, const TokenEvent& event) {
  if (event.token.id >= 0) {
    if (place.output_tokens++ == 0)
      tokens_done_ += static_cast<std::uint64_t>(std::max(place.tokens.prompt - std::int64_t{event.cached_tokens}, std::int64_t{0}));
    ++tokens_done_;
  }
  if (event.end != EndReason::stop && event.end != EndReason::complete && event.end != EndReason::length) return;
  const std::uint64_t weight = std::min(++ended_count_ + kFirstWeight, kWeightMax);
  output_tokens_mean_ += (static_cast<double>(place.output_tokens) - output_tokens_mean_) / static_cast<double>(weight);
}

TokenWork JobTable::work() const {
  std::int64_t left = 0, all = 0;
  const auto mean = static_cast<std::int64_t>(output_tokens_mean_);
  std::vector<const GenerationJob*> requests;
  requests.reserve(jobs_.size());
  for (const auto& [id, place] : jobs_) {
    const std::int64_t output_left = std::max(std::min(mean, place.tokens.output_max) - place.output_tokens, std::int64_t{1});
    left += (place.output_tokens == 0 ? place.tokens.prompt : 0) + output_left;
    all += place.tokens.prompt + place.output_tokens + output_left;
    requests.push_back(place.job.get());
  }
  std::ranges::sort(requests);
  requests.erase(std::ranges::unique(requests).begin(), requests.end());
  std::set<TenantId> tenants;
  for (const GenerationJob* const job : requests) tenants.insert(job->tenant());
  return {tokens_done_, static_cast<std::uint64_t>(left), static_cast<std::uint64_t>(all), requests.size(), tenants.size()};
}

std::set<std::shared_ptr<GenerationJob>> JobTable::all() const {
  std::set<std::shared_ptr<GenerationJob>> jobs;
  for (const auto& [id, place] : jobs_) jobs.insert(place.job);
  return jobs;
}

void JobTable::fail_all(const Error& error) {
  for (const std::shared_ptr<GenerationJob>& job : all()) job->fail(error);
}

void JobTable::end_overdue(Timestamp now) {
  const auto is_overdue = [&](const auto& entry) { return entry.second.job->is_overdue(now); };
  if (std::ranges::none_of(jobs_, is_overdue)) return;
  for (const std::shared_ptr<GenerationJob>& job : all()) {
    if (job->is_overdue(now)) job->end_overdue();
  }
}

std::size_t JobTable::request_count() const {
  std::set<const GenerationJob*> jobs;
  for (const auto& [id, place] : jobs_) jobs.insert(place.job.get());
  return jobs.size();
}

JobTable::AdapterUse JobTable::adapters_in_use() const {
  std::set<std::string> running, waiting;
  for (const auto& [id, place] : jobs_) {
    if (!place.job->uses_adapter()) continue;
    (place.job->has_token(place.choice_index) ? running : waiting).insert(place.job->model_name());
  }
  return {{running.begin(), running.end()}, {waiting.begin(), waiting.end()}};
}

}  // namespace slora
