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

// What a sequence may take at most, in tokens.
struct SequenceTokens {
  std::int64_t prompt = 0;
  std::int64_t output_max = 0;
};

// What the sequences of a server have taken since its start, and are expected to take until all of them have ended, in tokens of prompts
// and outputs.
struct TokenWork {
  std::uint64_t done = 0;
  std::uint64_t left = 0;
  std::uint64_t all = 0;                            // of those that have not ended, with what they have taken already
  std::size_t request_count = 0, tenant_count = 0;  // that these are of
};

// Maps sequences to the jobs that receive their events. From submission to the event with `end` the table keeps the job alive. Runs on one
// thread, as its jobs.
class JobTable {
 public:
  JobTable();
  void add(SequenceId id, std::shared_ptr<GenerationJob> job, std::size_t choice_index, SequenceTokens tokens);
  // For a sequence that the engine refused.
  void remove(SequenceId id) { jobs_.erase(id); }

  // Passes the events of one step to their jobs.
  void deliver(std::vector<TokenEvent> events);
  // Ends all jobs with `error`.
  void fail_all(const Error& error);

  // Ends the jobs whose time is over. Called several times a second.
  void end_overdue(Timestamp now);
  // Takes time in proportion to the sequences.
  [[nodiscard]] TokenWork work() const;

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
    SequenceTokens tokens;
    std::int64_t output_tokens = 0;  // that it has
  };
  void count(Place& place, const TokenEvent& event);
  [[nodiscard]] std::set<std::shared_ptr<GenerationJob>> all() const;

  std::unordered_map<SequenceId, Place> jobs_;
  std::uint64_t tokens_done_ = 0;
  std::uint64_t ended_count_ = 0;  // sequences that ended by themselves
  double output_tokens_mean_;      // of these, of late
};

}  // namespace slora
