#include "api/job_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "api/generation_job.h"
#include "base/check.h"

namespace slora {

void JobTable::add(SequenceId id, std::shared_ptr<GenerationJob> job, std::size_t choice_index) {
  const bool fresh = jobs_.emplace(id, Place{std::move(job), choice_index}).second;
  check(fresh, "expected a sequence to be submitted once");
}

void JobTable::deliver(std::vector<TokenEvent> events) {
  for (const TokenEvent& event : events) {
    const auto entry = jobs_.find(event.sequence);
    if (entry == jobs_.end()) continue;
    const Place place = entry->second;
    if (event.end) jobs_.erase(entry);
    if (event.end == EndReason::stop || event.end == EndReason::length) ++finished_count_;
    place.job->on_event(place.choice_index, event);
  }
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
