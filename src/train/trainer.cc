#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "train/rate_schedule.h"

namespace slora {
namespace {

std::int64_t step_count_of(const TrainOptions& options, const SampleOrder& order) {
  if (options.steps_max) return *options.steps_max;
  return static_cast<std::int64_t>(std::ceil(options.epochs * static_cast<double>(order.steps_per_epoch())));
}

}  // namespace

Trainer::Trainer(TrainingBase& base, AdapterMasters masters, const TrainOptions& options, std::span<const Sample> samples,
                 std::span<const Sample> eval_samples, const PassLimits& limits)
    : options_(options),
      samples_(samples),
      eval_samples_(eval_samples),
      adapter_(std::move(masters), base.modules, *base.backend),
      optimiser_(options.optimiser, adapter_.masters(), *base.backend),
      order_(samples.size(), static_cast<std::size_t>(options.batch), options.seed),
      pass_({base.config, base.weights, *base.backend}, adapter_, pass_kv_geometry(base), limits),
      step_count_(step_count_of(options, order_)) {}

AdapterMasters Trainer::result() const {
  AdapterMasters masters = adapter_.masters();
  if (!state_.best_values.empty()) masters.values = state_.best_values;
  return masters;
}

TrainingState Trainer::state() const {
  TrainingState state = state_;
  state.values = adapter_.masters().values;
  state.first_moments = optimiser_.first_moments();
  state.second_moments = optimiser_.second_moments();
  return state;
}

void Trainer::restore(const TrainingState& state) {
  check(state_.step == 0 && stage_ == Stage::begin_step && state.values.size() == adapter_.values().size(),
        "expected the state of an adapter of this size before the first unit of work");
  std::ranges::copy(state.values, adapter_.values().begin());
  optimiser_.first_moments() = state.first_moments;
  optimiser_.second_moments() = state.second_moments;
  optimiser_.set_update_count(state.step);
  adapter_.round();
  state_ = state;
  state_.values = state_.first_moments = state_.second_moments = {};
  if (state.step > 0) stage_ = Stage::after_step;
}

Trainer::Event Trainer::advance() {
  switch (stage_) {
    case Stage::begin_step:
      return begin_step();
    case Stage::step:
      return advance_passes() ? Event::working : end_step();
    case Stage::after_step:
      return after_step();
    case Stage::evaluation:
      return advance_passes() ? Event::working : end_evaluation();
    case Stage::after_evaluation:
      return after_evaluation();
    case Stage::ended:
      break;
  }
  return failure_ ? Event::failed : Event::finished;
}

void Trainer::Sums::add(std::span<const LabelLoss> losses) {
  for (const LabelLoss& label : losses) {
    loss += static_cast<double>(label.loss);
    correct += label.is_most_likely ? 1 : 0;
  }
  labels += std::ssize(losses);
}

// Of pending_.
void Trainer::begin_passes(SamplePass::Kind kind) {
  std::int64_t labels = 0;
  for (const Sample* sample : pending_) labels += label_count_of(*sample);
  label_weight_ = 1.0f / static_cast<float>(labels);
  kind_ = kind;
  sums_ = {};
  next_ = 0;
  begin_micro_batch();
}

void Trainer::begin_micro_batch() {
  const std::span<const Sample* const> rest = std::span<const Sample* const>(pending_).subspan(next_);
  const std::span<const Sample* const> batch = rest.first(next_micro_batch(rest, pass_.limits().rows, pass_.limits().samples));
  for (const Sample* sample : batch) sums_.tokens += row_count_of(*sample);
  next_ += batch.size();
  pass_.begin(batch, label_weight_, kind_);
}

bool Trainer::advance_passes() {
  if (pass_.advance()) return true;
  sums_.add(pass_.losses());
  if (next_ == pending_.size()) return false;
  begin_micro_batch();
  return true;
}

Trainer::Event Trainer::begin_step() {
  if (state_.step >= step_count_) {
    stage_ = Stage::ended;
    return Event::finished;
  }
  pending_.clear();
  for (const std::uint32_t index : order_.samples_of(state_.step)) pending_.push_back(&samples_[index]);
  std::ranges::fill(adapter_.gradients(), 0.0f);
  begin_passes(SamplePass::Kind::gradients);
  stage_ = Stage::step;
  return Event::working;
}

Trainer::Event Trainer::end_step() {
  const double norm = optimiser_.norm_of(adapter_.gradients());
  if (!std::isfinite(sums_.loss) || !std::isfinite(norm)) return fail(loss_not_finite(norm));
  const double rate = options_.optimiser.rate * rate_factor(options_.optimiser, state_.step, step_count_);
  optimiser_.update(adapter_.values(), adapter_.gradients(), optimiser_.clip_factor(norm), rate);
  if (!std::ranges::all_of(adapter_.values(), [](float value) { return std::isfinite(value); }))
    return fail({"E_NONFINITE",
                 fmt::format("step {}: the update makes numbers of the adapter that are not finite, at the rate {}; try a lower --rate",
                             state_.step + 1, rate),
                 {}});
  adapter_.round();
  ++state_.step;
  const auto labels = static_cast<double>(sums_.labels);
  step_report_ = {.step = state_.step,
                  .step_count = step_count_,
                  .epoch = epoch(),
                  .loss = sums_.loss / labels,
                  .accuracy = static_cast<double>(sums_.correct) / labels,
                  .gradient_norm = norm,
                  .rate = rate,
                  .label_count = sums_.labels,
                  .token_count = sums_.tokens};
  stage_ = Stage::after_step;
  return Event::step_done;
}

Trainer::Event Trainer::fail(Error why) {
  failure_ = std::move(why);
  stage_ = Stage::ended;
  return Event::failed;
}

Error Trainer::loss_not_finite(double norm) const {
  std::vector<std::int64_t> lines;
  for (const Sample* sample : pending_) lines.push_back(sample->line);
  return {
      "E_NONFINITE",
      fmt::format("step {}: the loss is {} and the norm of the gradient {}, over the samples of lines {}; if the losses before grew, try "
                  "a lower --rate",
                  state_.step + 1, std::fabs(sums_.loss / static_cast<double>(sums_.labels)), std::fabs(norm), fmt::join(lines, ", ")),
      {}};
}

Trainer::Event Trainer::after_step() {
  const bool is_evaluated = state_.evaluated_step == state_.step;
  if (eval_samples_.empty() || is_evaluated || !is_due(options_.eval_every)) return after_evaluation();
  pending_.clear();
  for (const Sample& sample : eval_samples_) pending_.push_back(&sample);
  begin_passes(SamplePass::Kind::losses);
  stage_ = Stage::evaluation;
  return Event::working;
}

Trainer::Event Trainer::end_evaluation() {
  const auto labels = static_cast<double>(sums_.labels);
  const double loss = sums_.loss / labels;
  if (!std::isfinite(loss))
    return fail(
        {"E_NONFINITE", fmt::format("evaluation after step {}: the loss is {}; try a lower --rate", state_.step, std::fabs(loss)), {}});
  const bool is_best = loss < state_.best_loss;
  state_.evaluated_step = state_.step;
  state_.evaluations_since_best = is_best ? 0 : state_.evaluations_since_best + 1;
  if (is_best) {
    state_.best_loss = loss;
    state_.best_values.assign(adapter_.values().begin(), adapter_.values().end());
  }
  evaluation_report_ = {.step = state_.step,
                        .epoch = epoch(),
                        .loss = loss,
                        .accuracy = static_cast<double>(sums_.correct) / labels,
                        .label_count = sums_.labels,
                        .token_count = sums_.tokens,
                        .is_best = is_best};
  stage_ = Stage::after_evaluation;
  return Event::evaluated;
}

Trainer::Event Trainer::after_evaluation() {
  const bool is_out_of_patience = options_.patience && state_.evaluations_since_best >= *options_.patience;
  const bool is_last = state_.step >= step_count_ || is_out_of_patience;
  stage_ = is_last ? Stage::ended : Stage::begin_step;
  return is_last || is_due(options_.save_every) ? Event::should_save : Event::working;
}

// After the last step, and each time that many steps or an epoch are done.
bool Trainer::is_due(const std::optional<std::int64_t>& every) const {
  return state_.step % every.value_or(order_.steps_per_epoch()) == 0 || state_.step == step_count_;
}

double Trainer::epoch() const { return static_cast<double>(state_.step) / static_cast<double>(order_.steps_per_epoch()); }

}  // namespace slora
