#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/step_watch.h"
#include "bench/workload/random_numbers.h"
#include "engine/runtime.h"

namespace slora::bench {

// A request to measure. It runs to its full length: no sampled token ends it.
struct SequenceToRun {
  std::vector<TokenId> prompt;  // [1..]
  std::int32_t output_tokens = 1;
  std::string adapter;  // its name; empty: the base
};

// All steps of a set of sequences.
struct EngineRun {
  Timestamp begin{};                  // when the first was submitted
  std::vector<SequenceId> sequences;  // as given
  std::vector<WatchedStep> steps;
};

// Runs sequences through a whole engine and waits for them. One thread in addition to the engine's.
class EngineRunner {
 public:
  // Below 1, tokens are sampled at temperature 0.8 with this top-p; else greedily.
  [[nodiscard]] static Result<std::unique_ptr<EngineRunner>> create(RuntimeOptions options, double top_p);

  // Submits all of them, at most `batch` at a time: the next when one has ended. An error when one fails.
  [[nodiscard]] Result<EngineRun> run(std::span<const SequenceToRun> sequences, std::size_t batch);

  // Random tokens of the vocabulary, determined by `seed`.
  [[nodiscard]] std::vector<TokenId> random_prompt(std::int64_t token_count, std::uint64_t seed) const;

  [[nodiscard]] Runtime& runtime() { return *runtime_; }
  [[nodiscard]] const Runtime& runtime() const { return *runtime_; }

 private:
  explicit EngineRunner(double top_p) : top_p_(top_p) {}
  [[nodiscard]] Status submit(EngineRun& run, std::span<const SequenceToRun> sequences);
  [[nodiscard]] Result<SequenceId> submit(const SequenceToRun& sequence);

  const double top_p_;
  StepWatch watch_;  // outlives the engine
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace slora::bench
