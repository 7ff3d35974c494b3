#include "cli/train_run.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "adapters/adapter_files.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/adapter_notice.h"
#include "cli/byte_size.h"
#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "train/checkpoints.h"
#include "train/pass_plan.h"
#include "train/peft_writer.h"
#include "train/run_recorder.h"
#include "train/trainer.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// Nothing, or the checkpoint to go on from. Refuses to write over what is at options.out.
Result<std::optional<std::string>> find_start(const TrainOptions& options) {
  Result<std::optional<std::string>> newest = Checkpoints(options.out, options.checkpoints_max, {}).newest();
  std::error_code ignored;
  if (!newest || (options.resume && *newest)) return newest;
  if (*newest)
    return error("E_EXISTS", "--out: there is a run in {} already; continue it with --resume, or give another folder", options.out);
  if (options.resume) return error("E_NO_FOLDER", "--resume: expected checkpoints of a run in {}/checkpoints, found none", options.out);
  if (fs::exists(fs::path(options.out) / kPeftConfig, ignored))
    return error("E_EXISTS", "--out: there is an adapter in {} already; give another folder", options.out);
  return newest;
}

// Under the name of the folder that is made.
Result<std::optional<AdapterNotice>> make_notice(const TrainOptions& options) {
  if (options.load_into.empty()) return std::nullopt;
  const fs::path out = fs::path(options.out).lexically_normal();
  Result<AdapterNotice> notice =
      AdapterNotice::create(options.load_into, options.api_key, (out.has_filename() ? out : out.parent_path()).filename().string());
  if (!notice) return forward_error(notice);
  return std::optional(std::move(*notice));
}

Result<std::unique_ptr<TrainingBase>> load_base(const TrainOptions& options) {
  ProgressBar bar;
  return load_training_base({.folder = options.model,
                             .backend = options.backend,
                             .threads = options.threads,
                             .progress = [&](std::uint64_t done, std::uint64_t total) { bar.show("Loading weights", done, total); }});
}

Result<std::size_t> activation_bytes(const TrainOptions& options, const TrainingBase& base, const AdapterMasters& masters) {
  if (options.memory.empty()) return default_activation_bytes(base, masters);
  const Result<std::uint64_t> bytes = parse_byte_size(options.memory);
  if (!bytes) return error(bytes.error().code, "--memory: {}", bytes.error().message);
  return static_cast<std::size_t>(*bytes);
}

// One run, from its first step or a checkpoint to its end.
class TrainRun {
 public:
  // All but the identity outlive it.
  TrainRun(const TrainOptions& options, const TrainingBase& base, Trainer& trainer, RunRecorder& recorder,
           std::optional<AdapterNotice> notice, RunIdentity identity)
      : options_(options),
        base_(base),
        trainer_(trainer),
        recorder_(recorder),
        notice_(std::move(notice)),
        identity_(std::move(identity)),
        checkpoints_(options.out, options.checkpoints_max,
                     [this](const std::string& folder, const AdapterMasters& masters) { return write_adapter(folder, masters); }) {}

  // Returns the exit code.
  int run(const Interrupt& interrupt) {
    while (true) {
      const Trainer::Event event = trainer_.advance();
      if (event == Trainer::Event::failed) return report(trainer_.failure());
      if (const Status shown = show(event); !shown) return report(shown.error());
      const bool ends = event == Trainer::Event::finished || is_out_of_time(event), is_interrupted = interrupt.requested() && !ends;
      if (event == Trainer::Event::should_save || ends || is_interrupted) {
        if (const Status saved = save(); !saved) return report(saved.error());
      }
      if (is_interrupted) return kInterrupted;
      if (ends) return finish();
    }
  }

 private:
  [[nodiscard]] bool is_out_of_time(Trainer::Event event) const {
    return event == Trainer::Event::step_done && options_.time_limit_seconds &&
           seconds(SteadyClock().now() - start_) > *options_.time_limit_seconds;
  }

  [[nodiscard]] Status save() {
    const TrainingState state = trainer_.state();
    if (state.step == 0) return {};
    const Result<std::string> path = checkpoints_.save(state, trainer_.masters(), identity_);
    if (!path) return tl::unexpected(path.error());
    if (*path != saved_) fmt::print("saved {}\n", *path);
    if (*path != saved_) load(*path);
    saved_ = *path;
    return {};
  }

  int finish() {
    std::error_code failed;
    fs::create_directories(options_.out, failed);
    if (failed) return report({"E_WRITE", fmt::format("--out: {}: {}", options_.out, failed.message()), {}});
    if (const Status written = recorder_.write_chart(options_.out); !written) return report(written.error());
    if (const Status written = write_adapter(options_.out, trainer_.result()); !written) return report(written.error());
    fmt::print("adapter {}\n", options_.out);
    load(options_.out);
    return 0;
  }

  // A server that is not there, or refuses, does not end the run.
  void load(const std::string& folder) const {
    if (!notice_) return;
    std::error_code failed;
    const fs::path path = fs::absolute(folder, failed);
    if (const Status loaded = notice_->load(path.lexically_normal().string()); !loaded) log_warning("{}", loaded.error().message);
  }

  [[nodiscard]] Status write_adapter(const std::string& folder, const AdapterMasters& masters) const {
    const TrainingState state = trainer_.state();
    AdapterCard card{options_.model, {{"data", options_.data}}};
    for (const auto& [name, value] : identity_) {
      if (name == "data" || name == "base") card.facts.emplace_back("SHA-256 of the " + name, value);
    }
    card.facts.emplace_back("seed", fmt::format("{}", options_.seed));
    card.facts.emplace_back("steps", fmt::format("{} of {}", state.step, trainer_.step_count()));
    if (trainer_.step_report().step > 0)
      card.facts.emplace_back("loss of the last step", fmt::format("{:.4f}", trainer_.step_report().loss));
    if (state.evaluated_step > 0) card.facts.emplace_back("lowest loss on evaluation data", fmt::format("{:.4f}", state.best_loss));
    if (Status written = recorder_.write_state(folder); !written) return written;
    return write_peft_files(folder, masters, base_.modules, card);
  }

  Status show(Trainer::Event event) {
    Result<std::string> line;
    if (event == Trainer::Event::step_done) {
      line = recorder_.add(trainer_.step_report());
    } else if (event == Trainer::Event::evaluated) {
      line = recorder_.add(trainer_.evaluation_report());
    } else {
      return {};
    }
    if (!line) return forward_error(line);
    fmt::print("{}\n", *line);
    std::fflush(stdout);
    return {};
  }

  const TrainOptions& options_;
  const TrainingBase& base_;
  Trainer& trainer_;
  RunRecorder& recorder_;
  const std::optional<AdapterNotice> notice_;
  const RunIdentity identity_;
  Checkpoints checkpoints_;
  std::string saved_;  // the last checkpoint
  const Timestamp start_ = SteadyClock().now();
};

}  // namespace

int run_training(const TrainOptions& options, std::span<const Sample> samples, std::span<const Sample> eval_samples) {
  const Interrupt interrupt("Saving a checkpoint");
  const Result<std::optional<std::string>> start = find_start(options);
  if (!start) return report(start.error());
  Result<std::optional<AdapterNotice>> notice = make_notice(options);
  if (!notice) return report(notice.error());
  const Result<std::unique_ptr<TrainingBase>> base = load_base(options);
  if (!base) return report(base.error());
  Result<AdapterMasters> masters = make_masters(options.adapter, (*base)->modules, options.seed);
  if (!masters) return report(masters.error());
  const Result<std::size_t> bytes = activation_bytes(options, **base, *masters);
  if (!bytes) return report(bytes.error());
  const Result<PassPlan> plan = plan_passes(**base, *masters, options, samples, eval_samples, *bytes);
  if (!plan) return report(plan.error());
  fmt::print("backend: {}\n{}\n", (*base)->backend->description(), shown_plan(*plan));

  const SteadyClock clock;
  Result<RunRecorder> recorder = RunRecorder::create(clock, options.log);
  if (!recorder) return report(recorder.error());
  RunIdentity identity = run_identity(options, **base, samples, eval_samples);
  Trainer trainer(**base, std::move(*masters), options, samples, eval_samples, plan->limits);
  if (*start) {
    const Result<TrainingState> state = read_state(**start, identity, trainer.masters().values.size());
    if (!state) return report(state.error());
    trainer.restore(*state);
    if (const Status restored = recorder->restore(**start, state->step); !restored) return report(restored.error());
    fmt::print("continues after step {} of {}\n", state->step, trainer.step_count());
  }
  return TrainRun(options, **base, trainer, *recorder, std::move(*notice), std::move(identity)).run(interrupt);
}

}  // namespace slora
