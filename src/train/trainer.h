#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/adam_w.h"
#include "train/sample_order.h"
#include "train/sample_pass.h"
#include "train/train_options.h"
#include "train/training_base.h"

namespace slora {

// What a training step did.
struct StepReport {
  std::int64_t step = 0, step_count = 0;  // steps that are done, of all
  double epoch = 0;                       // of the data that has been learned from
  double loss = 0;                        // mean over the step's labels, before the update
  double accuracy = 0;                    // share of the labels that were the most likely token
  double gradient_norm = 0;               // before clipping
  double rate = 0;
  std::int64_t label_count = 0, token_count = 0;  // tokens: those that were computed
};

// What the adapter gives on data that it does not learn from.
struct EvaluationReport {
  std::int64_t step = 0;
  double epoch = 0;
  double loss = 0, accuracy = 0;
  std::int64_t label_count = 0, token_count = 0;
  bool is_best = false;  // of all so far
};

// Everything that a run goes on with.
struct TrainingState {
  std::int64_t step = 0;            // steps that are done
  std::int64_t evaluated_step = 0;  // after which the last evaluation was; 0: there was none
  double best_loss = std::numeric_limits<double>::infinity();
  std::int32_t evaluations_since_best = 0;
  std::vector<float> values, first_moments, second_moments;
  std::vector<float> best_values;  // empty: no evaluation yet
};

// Trains an adapter: steps over the samples, evaluations, and when the state should be saved. Does one unit of work at a call, so that
// others can compute in between, and knows no files and no clock. Between two units state() is always that after the last whole step. The
// same samples, options and masters give the same bits on one backend, whatever the limits and the number of threads. One thread, that of
// the backend's ops.
class Trainer {
 public:
  // All but the masters outlive it. Requires: samples with labels that fit in the limits, at least one to learn from.
  Trainer(TrainingBase& base, AdapterMasters masters, const TrainOptions& options, std::span<const Sample> samples,
          std::span<const Sample> eval_samples, const PassLimits& limits);

  enum class Event : std::uint8_t { working, step_done, evaluated, should_save, failed, finished };
  // Does a unit of work. After `failed`, whose reason is failure(), and after `finished` there is no more.
  Event advance();

  [[nodiscard]] const StepReport& step_report() const { return step_report_; }
  [[nodiscard]] const EvaluationReport& evaluation_report() const { return evaluation_report_; }
  [[nodiscard]] const Error& failure() const { return *failure_; }
  [[nodiscard]] std::int64_t step_count() const { return step_count_; }
  [[nodiscard]] const AdapterMasters& masters() const { return adapter_.masters(); }
  // The masters with the numbers that the run gives: those of the best evaluation, or else the last.
  [[nodiscard]] AdapterMasters result() const;

  [[nodiscard]] TrainingState state() const;
  // Requires: the state of a trainer of the same samples, options and modules; nothing was done yet.
  void restore(const TrainingState& state);

 private:
  enum class Stage : std::uint8_t { begin_step, step, after_step, evaluation, after_evaluation, ended };
  // Sums over micro-batches.
  struct Sums {
    double loss = 0;
    std::int64_t correct = 0, labels = 0, tokens = 0;
    void add(std::span<const LabelLoss> losses);
  };
  void begin_passes(SamplePass::Kind kind);
  // Returns whether more micro-batches follow.
  bool advance_passes();
  void begin_micro_batch();
  Event begin_step();
  Event end_step();
  Event after_step();
  Event end_evaluation();
  Event after_evaluation();
  [[nodiscard]] bool is_due(const std::optional<std::int64_t>& every) const;
  [[nodiscard]] double epoch() const;
  Event fail(Error why);
  [[nodiscard]] Error loss_not_finite(double norm) const;

  const TrainOptions options_;
  const std::span<const Sample> samples_, eval_samples_;
  TrainedAdapter adapter_;
  AdamW optimiser_;
  SampleOrder order_;
  SamplePass pass_;
  const std::int64_t step_count_;
  Stage stage_ = Stage::begin_step;
  std::vector<const Sample*> pending_;  // of the passes under way
  std::size_t next_ = 0;                // the first that is in no micro-batch yet
  SamplePass::Kind kind_ = SamplePass::Kind::losses;
  float label_weight_ = 0;
  Sums sums_;
  TrainingState state_;  // without values and moments
  StepReport step_report_;
  EvaluationReport evaluation_report_;
  std::optional<Error> failure_;
};

}  // namespace slora
