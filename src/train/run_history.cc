#include "train/run_history.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/svg_plot.h"

namespace slora {
namespace {

constexpr std::size_t kWindowSteps = 128;  // that means and deviations are of
constexpr std::size_t kWindowStepsMin = 8;
constexpr double kSmoothing = 0.95;               // what is left of the mean's weight after a step
constexpr std::size_t kChartPointsMax = 2000;     // of a line; more can't be seen
constexpr std::int64_t kHistoryMax = 10'000'000;  // entries of a file that are read

double per_second(std::int64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

// The names under which transformers' Trainer and TRL log these.
Json history_entry(const StepReport& step) {
  return {{"epoch", step.epoch}, {"grad_norm", step.gradient_norm},      {"learning_rate", step.rate},
          {"loss", step.loss},   {"mean_token_accuracy", step.accuracy}, {"step", step.step}};
}
Json history_entry(const EvaluationReport& evaluation) {
  return {{"epoch", evaluation.epoch},
          {"eval_loss", evaluation.loss},
          {"eval_mean_token_accuracy", evaluation.accuracy},
          {"step", evaluation.step}};
}

// Not more points than can be seen, the last among them.
std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points) {
  if (points.size() <= kChartPointsMax) return points;
  const std::size_t stride = (points.size() + kChartPointsMax - 1) / kChartPointsMax;
  std::vector<PlotPoint> kept;
  for (std::size_t i = (points.size() - 1) % stride; i < points.size(); i += stride) kept.push_back(points[i]);
  return kept;
}

void add_series(LineChart& chart, std::string name, const std::vector<PlotPoint>& points) {
  if (!points.empty()) chart.series.push_back({std::move(name), thinned(points)});
}

std::string shown_time(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::min(seconds, 1e9) + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

std::string shown_memory(std::uint64_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30)); }

Json number_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Status add_entry(RunHistory& history, const Json& entry, std::int64_t step_max, const auto& add_step) {
  if (!entry.is_object()) return error("E_BAD_JSON", "log_history: expected objects, found {}", type_name(entry));
  const Result<std::int64_t> step = integer_at(entry, "step");
  if (!step) return tl::unexpected(step.error());
  if (*step > step_max) return {};
  const auto number = [&](const char* key) -> double {
    const Json* value = find_member(entry, key);
    return value != nullptr && value->is_number() ? value->get<double>() : 0;
  };
  if (find_member(entry, "eval_loss") != nullptr) {
    history.add({.step = *step, .epoch = number("epoch"), .loss = number("eval_loss"), .accuracy = number("eval_mean_token_accuracy")});
  } else if (find_member(entry, "loss") != nullptr) {
    add_step({.step = *step,
              .epoch = number("epoch"),
              .loss = number("loss"),
              .accuracy = number("mean_token_accuracy"),
              .gradient_norm = number("grad_norm"),
              .rate = number("learning_rate")});
  }
  return {};
}

}  // namespace

double StepRecord::tokens_per_second() const { return per_second(report.token_count, seconds); }
double StepRecord::labels_per_second() const { return per_second(report.label_count, seconds); }

std::optional<double> RunHistory::Window::mean() const {
  if (values_.empty()) return {};
  double sum = 0;
  for (const double value : values_) sum += value;
  return sum / static_cast<double>(values_.size());
}

std::optional<double> RunHistory::Window::deviation_of(double value) const {
  if (values_.size() < kWindowStepsMin) return {};
  const double middle = *mean();
  double squares = 0;
  for (const double each : values_) squares += (each - middle) * (each - middle);
  const double deviation = std::sqrt(squares / static_cast<double>(values_.size()));
  if (deviation == 0) return {};
  return (value - middle) / deviation;
}

void RunHistory::Window::add(double value) {
  if (values_.size() < kWindowSteps) {
    values_.push_back(value);
  } else {
    values_[next_] = value;
    next_ = (next_ + 1) % kWindowSteps;
  }
}

double RunHistory::smooth(double loss) {
  loss_sum_ = kSmoothing * loss_sum_ + (1 - kSmoothing) * loss;
  loss_weight_ = kSmoothing * loss_weight_ + (1 - kSmoothing);
  return loss_sum_ / loss_weight_;
}

const StepRecord& RunHistory::add(const StepReport& report, double seconds, std::uint64_t memory_bytes) {
  last_ = {
      report, smooth(report.loss), seconds, memory_bytes, {}, losses_.deviation_of(report.loss), norms_.deviation_of(report.gradient_norm)};
  losses_.add(report.loss);
  norms_.add(report.gradient_norm);
  if (seconds > 0) times_.add(seconds);
  if (const std::optional<double> pace = times_.mean()) {
    last_.seconds_left = *pace * static_cast<double>(std::max(report.step_count - report.step, std::int64_t{0}));
  }
  entries_.emplace_back(Step{report, last_.smoothed_loss});
  return last_;
}

std::string RunHistory::trainer_state() const {
  Json history = Json::array();
  StepReport last;
  Json best;
  for (const auto& entry : entries_) {
    if (const auto* step = std::get_if<Step>(&entry)) {
      last = step->report;
      history.push_back(history_entry(last));
    } else {
      const auto& evaluation = std::get<EvaluationReport>(entry);
      if (best.is_null() || evaluation.loss < best.get<double>()) best = evaluation.loss;
      history.push_back(history_entry(evaluation));
    }
  }
  const Json state = {{"best_metric", best}, {"epoch", last.epoch},         {"global_step", last.step}, {"log_history", std::move(history)},
                      {"logging_steps", 1},  {"max_steps", last.step_count}};
  return state.dump(2) + "\n";
}

Status RunHistory::restore(const Json& trainer_state, std::int64_t step) {
  const Json* history = trainer_state.is_object() ? find_member(trainer_state, "log_history") : nullptr;
  if (history == nullptr || !history->is_array() || history->size() > std::size_t{kHistoryMax}) {
    return error("E_BAD_JSON", "log_history: expected a list of what was logged");
  }
  for (const Json& entry : *history) {
    const auto add_step = [this](const StepReport& report) { add(report, 0, 0); };
    if (Status added = add_entry(*this, entry, step, add_step); !added) return added;
  }
  return {};
}

std::string RunHistory::loss_chart() const {
  std::vector<PlotPoint> losses, smoothed, evaluations, norms;
  for (const auto& entry : entries_) {
    if (const auto* step = std::get_if<Step>(&entry)) {
      const auto x = static_cast<double>(step->report.step);
      losses.push_back({x, step->report.loss});
      smoothed.push_back({x, step->smoothed_loss});
      norms.push_back({x, step->report.gradient_norm});
    } else {
      const auto& evaluation = std::get<EvaluationReport>(entry);
      evaluations.push_back({static_cast<double>(evaluation.step), evaluation.loss});
    }
  }
  std::array<LineChart, 2> charts = {LineChart{.title = "Loss", .x_label = "step", .y_label = "nats a label"},
                                     LineChart{.title = "Gradient", .x_label = "step", .y_label = "norm before clipping"}};
  add_series(charts[0], "training", losses);
  add_series(charts[0], "training, smoothed", smoothed);
  add_series(charts[0], "evaluation", evaluations);
  add_series(charts[1], "norm", norms);
  return svg_of(charts);
}

std::string step_line(const StepRecord& step) {
  const StepReport& report = step.report;
  std::string line = fmt::format(
      "step {}/{}  epoch {:.2f}  loss {:.4f} (smoothed {:.4f})  norm {:.3f}  rate {:.3g}  accuracy {:.3f}  {:.0f} labels/s  {:.0f} "
      "tokens/s",
      report.step, report.step_count, report.epoch, report.loss, step.smoothed_loss, report.gradient_norm, report.rate, report.accuracy,
      step.labels_per_second(), step.tokens_per_second());
  if (step.memory_bytes > 0) line += "  " + shown_memory(step.memory_bytes);
  if (step.seconds_left) line += fmt::format("  {} left", shown_time(*step.seconds_left));
  return line;
}

std::string evaluation_line(const EvaluationReport& evaluation) {
  return fmt::format("evaluation after step {}: loss {:.4f}, accuracy {:.3f} over {} labels{}", evaluation.step, evaluation.loss,
                     evaluation.accuracy, evaluation.label_count, evaluation.is_best ? ", the best so far" : "");
}

std::string step_json(const StepRecord& step) {
  const StepReport& report = step.report;
  const Json line = {{"step", report.step},
                     {"steps", report.step_count},
                     {"epoch", report.epoch},
                     {"loss", report.loss},
                     {"smoothed_loss", step.smoothed_loss},
                     {"grad_norm", report.gradient_norm},
                     {"learning_rate", report.rate},
                     {"mean_token_accuracy", report.accuracy},
                     {"labels", report.label_count},
                     {"tokens", report.token_count},
                     {"seconds", step.seconds},
                     {"labels_per_second", step.labels_per_second()},
                     {"tokens_per_second", step.tokens_per_second()},
                     {"memory_bytes", step.memory_bytes},
                     {"seconds_left", number_or_null(step.seconds_left)},
                     {"loss_deviation", number_or_null(step.loss_deviation)},
                     {"grad_norm_deviation", number_or_null(step.norm_deviation)}};
  return line.dump();
}

std::string evaluation_json(const EvaluationReport& evaluation) {
  const Json line = {{"step", evaluation.step},
                     {"epoch", evaluation.epoch},
                     {"eval_loss", evaluation.loss},
                     {"eval_mean_token_accuracy", evaluation.accuracy},
                     {"eval_labels", evaluation.label_count},
                     {"is_best", evaluation.is_best}};
  return line.dump();
}

}  // namespace slora
