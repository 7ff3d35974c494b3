#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/generation.h"

namespace slora {

class GenerationJob;

// Maps sequences to the jobs that receive their events. From submission to the event with `end` the table keeps the job alive. Runs on one
// thread, as its jobs.
class JobTable {
 public:
  void add(SequenceId id, std::shared_ptr<GenerationJob> job, std::size_t choice_index);
  // For a sequence that the engine refused.
  void remove(SequenceId id) { jobs_.erase(id); }

  // Passes the events of one step to their jobs.
  void deliver(std::vector<TokenEvent> events);
  // Ends all jobs with `error`.
  void fail_all(const Error& error);

  // Ends the jobs whose time is over. Called several times a second.
  void end_overdue(Timestamp now);
  // Sequences that have ended by themselves since the start.
  [[nodiscard]] std::uint64_t finished_count() const { return finished_count_; }
  [[nodiscard]] std::size_t sequence_count() const { return jobs_.size(); }

  [[nodiscard]] bool is_empty() const { return jobs_.empty(); }
  [[nodiscard]] std::size_t request_count() const;

  struct AdapterUse {
    std::vector<std::string> running, waiting;  // adapter names, sorted, without repeats
  };
  [[nodiscard]] AdapterUse adapters_in_use() const;

 private:
  struct Place {
    std::shared_ptr<GenerationJob> job;  // shared: a job may serve several sequences
    std::size_t choice_index;
  };
  [[nodiscard]] std::set<std::shared_ptr<GenerationJob>> all() const;

  std::unordered_map<SequenceId, Place> jobs_;
  std::uint64_t finished_count_ = 0;
};

}  // namespace slora
