#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "train/trainer.h"

namespace slora {

// What is known of a step besides what the trainer says.
struct StepRecord {
  StepReport report;
  double smoothed_loss = 0;              // an exponential mean of the losses so far
  double seconds = 0;                    // that the step took
  std::uint64_t memory_bytes = 0;        // of the process
  std::optional<double> seconds_left;    // of the run, at the pace of the latest steps; not of evaluations
  std::optional<double> loss_deviation;  // from the mean of the steps before, in their standard deviations; none at the beginning
  std::optional<double> norm_deviation;  // the same of the gradient's norm

  [[nodiscard]] double tokens_per_second() const;
  [[nodiscard]] double labels_per_second() const;
};

// All steps and evaluations of a run, in their order, for files that others read. Owned by the run, one thread.
class RunHistory {
 public:
  // The record is valid until the next call.
  const StepRecord& add(const StepReport& report, double seconds, std::uint64_t memory_bytes);
  void add(const EvaluationReport& report) { entries_.emplace_back(report); }

  // The state file of transformers' Trainer, trainer_state.json, of which plotting tools read log_history.
  [[nodiscard]] std::string trainer_state() const;
  // Goes on with what such a file says up to `step`. E_BAD_JSON. Requires: nothing was added.
  [[nodiscard]] Status restore(const Json& trainer_state, std::int64_t step);
  // Loss and gradient norm over the steps, as an SVG file.
  [[nodiscard]] std::string loss_chart() const;

 private:
  struct Step {
    StepReport report;
    double smoothed_loss = 0;
  };
  // The latest values, for their mean and deviation.
  class Window {
   public:
    [[nodiscard]] std::optional<double> deviation_of(double value) const;
    [[nodiscard]] std::optional<double> mean() const;
    void add(double value);

   private:
    std::vector<double> values_;
    std::size_t next_ = 0;  // the oldest, once there are kWindowSteps
  };
  double smooth(double loss);

  std::vector<std::variant<Step, EvaluationReport>> entries_;
  StepRecord last_;
  double loss_sum_ = 0, loss_weight_ = 0;  // of the exponential mean
  Window losses_, norms_, times_;
};

// One line for a terminal.
[[nodiscard]] std::string step_line(const StepRecord& step);
[[nodiscard]] std::string evaluation_line(const EvaluationReport& evaluation);
// One line of JSON, without its end, for a log that programs read.
[[nodiscard]] std::string step_json(const StepRecord& step);
[[nodiscard]] std::string evaluation_json(const EvaluationReport& evaluation);

}  // namespace slora
