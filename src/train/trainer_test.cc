// What a run must not depend on, and how it ends.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "formats/temporary_folder.h"
#include "train/testing/training_fixture.h"
#include "train/training_state.h"

namespace slora::testing {
namespace {

TrainOptions small_options() {
  TrainOptions options;
  options.adapter.rank = 3;
  options.adapter.alpha = 6;
  options.optimiser.rate = 1e-2;
  options.batch = 5;
  options.steps_max = 6;
  options.seed = kTrainingSeed;
  return options;
}

class Training : public ::testing::TestWithParam<std::string> {
 protected:
  Training() : base_(load_golden_base("qwen3_norms", GetParam())), samples_(golden_samples(base_->config.vocab_size)) {}

  // The numbers of the adapter after a run.
  std::vector<float> run(const PassLimits& limits, const TrainOptions& options = small_options()) {
    Trainer trainer(*base_, golden_masters(*base_, options.adapter), options, samples_, {}, limits);
    run_to_end(trainer);
    return trainer.masters().values;
  }

  const std::unique_ptr<TrainingBase> base_;
  const std::vector<Sample> samples_;
};

INSTANTIATE_TEST_SUITE_P(Backends, Training, ::testing::ValuesIn(training_backends()), [](const auto& test) { return test.param; });

TEST_P(Training, HasTheSameBitsForAllLimits) {
  const std::int32_t layers = base_->config.layer_count;
  const std::vector<float> expected = run({.rows = 256, .samples = 8, .head_rows = 64, .kept_layers = layers});
  EXPECT_NE(expected, golden_masters(*base_, small_options().adapter).values) << "something is learned";
  for (const std::int64_t rows : {20, 33, 256}) {
    for (const std::int64_t head_rows : {1, 7, 64}) {
      for (std::int32_t kept = 0; kept <= layers; ++kept) {
        EXPECT_EQ(run({.rows = rows, .samples = rows / 10, .head_rows = head_rows, .kept_layers = kept}), expected)
            << rows << " rows, " << head_rows << " rows of logits, " << kept << " layers kept";
      }
    }
  }
}

TEST_P(Training, HasTheSameBitsOnAnyNumberOfThreads) {
  const PassLimits limits{.rows = 40, .samples = 4, .head_rows = 16, .kept_layers = 1};
  const std::vector<float> expected = run(limits);
  for (const int threads : {2, 3}) {
    const std::unique_ptr<TrainingBase> base = load_golden_base("qwen3_norms", GetParam(), threads);
    const TrainOptions options = small_options();
    Trainer trainer(*base, golden_masters(*base, options.adapter), options, samples_, {}, limits);
    run_to_end(trainer);
    EXPECT_EQ(trainer.masters().values, expected) << threads << " threads";
  }
}

TEST_P(Training, OfUpperLayersAloneKeepsOnlyThose) {
  TrainOptions options = small_options();
  options.adapter.rank_pattern = {};
  Result<AdapterMasters> all = make_masters(options.adapter, base_->modules, kTrainingSeed);
  ASSERT_TRUE(all.has_value());
  for (const SiteKind first : {SiteKind::qkv, SiteKind::o, SiteKind::gate_up, SiteKind::down}) {
    // The gradients of modules from one of layer 1 on are the same whether modules below are trained or not.
    AdapterMasters upper = *all;
    std::erase_if(upper.modules, [&](const MasterModule& module) { return module.site < Site{1, first}; });
    upper.values.assign(all->values.begin() + static_cast<std::ptrdiff_t>(upper.modules.front().begin), all->values.end());
    const std::size_t offset = upper.modules.front().begin;
    for (MasterModule& module : upper.modules) module.begin -= offset;
    const auto gradients = [&](const AdapterMasters& masters) {
      TrainedAdapter adapter(masters, base_->modules, *base_->backend);
      const PassShape shape = pass_shape_of(base_->config, base_->weights.shape, masters);
      SamplePass pass({base_->config, base_->weights, *base_->backend}, adapter, pass_kv_geometry(*base_),
                      {.rows = 256, .samples = 8, .head_rows = 64, .kept_layers = shape.trained_layers() - 1});
      const std::vector<const Sample*> batch = {&samples_[1], &samples_[2], &samples_[5]};
      pass.begin(batch, 0.125f, SamplePass::Kind::gradients);
      while (pass.advance()) continue;
      return std::vector<float>(adapter.gradients().begin(), adapter.gradients().end());
    };
    const std::vector<float> of_all = gradients(*all);
    EXPECT_EQ(gradients(upper), std::vector<float>(of_all.begin() + static_cast<std::ptrdiff_t>(offset), of_all.end()));
  }
}

TEST_P(Training, GoesOnFromAnyUnitAsIfItHadNotStopped) {
  TrainOptions options = small_options();
  options.eval_every = 2;
  const std::span<const Sample> eval(samples_.data(), 3);
  const PassLimits limits{.rows = 40, .samples = 4, .head_rows = 16, .kept_layers = 1};
  const auto make = [&] { return Trainer(*base_, golden_masters(*base_, options.adapter), options, samples_, eval, limits); };
  Trainer whole = make();
  run_to_end(whole);
  const TrainingState expected = whole.state();
  EXPECT_EQ(expected.step, 6);
  EXPECT_EQ(expected.evaluated_step, 6);
  const TemporaryFolder folder;
  const RunIdentity run = run_identity(options, *base_, samples_, eval);
  for (int units = 1; units < 300; units += 37) {
    Trainer first = make();
    for (int i = 0; i < units; ++i) static_cast<void>(first.advance());
    const std::string path = folder.path() + "/" + std::to_string(units);
    std::filesystem::create_directory(path);
    ASSERT_TRUE(write_state(path, first.state(), run).has_value());
    const Result<TrainingState> read = read_state(path, run, expected.values.size());
    ASSERT_TRUE(read.has_value()) << read.error().message;
    Trainer second = make();
    second.restore(*read);
    run_to_end(second);
    const TrainingState found = second.state();
    EXPECT_EQ(found.values, expected.values) << units;
    EXPECT_EQ(found.first_moments, expected.first_moments);
    EXPECT_EQ(found.second_moments, expected.second_moments);
    EXPECT_EQ(found.best_values, expected.best_values);
    EXPECT_EQ(found.best_loss, expected.best_loss);
    EXPECT_EQ(found.evaluated_step, expected.evaluated_step);
  }
}

TEST_P(Training, LearnsABatchByHeart) {
  TrainOptions options = small_options();
  options.adapter.rank = 8;
  options.adapter.alpha = 16;
  options.batch = 8;
  options.steps_max = 200;
  options.optimiser.rate = 2e-2;
  Trainer trainer(*base_, golden_masters(*base_, options.adapter), options, samples_, {}, wide_limits(*base_));
  const std::vector<StepReport> reports = run_to_end(trainer);
  EXPECT_GT(reports.front().loss, 3);
  EXPECT_LT(reports.back().loss, 0.01);
  EXPECT_EQ(reports.back().accuracy, 1);
}

TEST_P(Training, StopsWhenEvaluationsGetNoBetterAndGivesTheBest) {
  TrainOptions options = small_options();
  options.steps_max = 60;
  options.batch = 2;
  options.optimiser.rate = 5e-2;
  options.eval_every = 2;
  options.patience = 3;
  const std::vector<Sample> eval = {samples_[7]};  // not learned
  const std::span<const Sample> learned(samples_.data(), 7);
  Trainer trainer(*base_, golden_masters(*base_, options.adapter), options, learned, eval, wide_limits(*base_));
  std::vector<double> losses;
  std::vector<float> best;
  for (Trainer::Event event = trainer.advance(); event != Trainer::Event::finished; event = trainer.advance()) {
    ASSERT_NE(event, Trainer::Event::failed);
    if (event != Trainer::Event::evaluated) continue;
    const double loss = trainer.evaluation_report().loss;
    EXPECT_EQ(trainer.evaluation_report().is_best, losses.empty() || loss < *std::ranges::min_element(losses));
    if (trainer.evaluation_report().is_best) best = trainer.masters().values;
    losses.push_back(loss);
  }
  EXPECT_LT(losses.size(), 30u) << "it stopped early";
  EXPECT_EQ(losses.end() - std::ranges::min_element(losses), 4) << "three evaluations after the best";
  EXPECT_EQ(trainer.result().values, best);
}

TEST_P(Training, EndsWithTheSamplesOfALossThatIsNotFinite) {
  TrainOptions options = small_options();
  AdapterMasters masters = golden_masters(*base_, options.adapter);
  masters.values[3] = std::numeric_limits<float>::quiet_NaN();
  Trainer trainer(*base_, std::move(masters), options, samples_, {}, wide_limits(*base_));
  Trainer::Event event = Trainer::Event::working;
  while (event == Trainer::Event::working) event = trainer.advance();
  ASSERT_EQ(event, Trainer::Event::failed);
  EXPECT_NE(trainer.failure().message.find("step 1: the loss is"), std::string::npos) << trainer.failure().message;
  EXPECT_NE(trainer.failure().message.find("lines "), std::string::npos);
  EXPECT_EQ(trainer.state().step, 0);
  EXPECT_EQ(trainer.advance(), Trainer::Event::failed);
}

TEST_P(Training, EndsBeforeAnUpdateThatIsNotFinite) {
  TrainOptions options = small_options();
  options.optimiser.rate = 1e200;
  options.optimiser.warm_up_share = 0;
  const AdapterMasters masters = golden_masters(*base_, options.adapter);
  Trainer trainer(*base_, masters, options, samples_, {}, wide_limits(*base_));
  Trainer::Event event = Trainer::Event::working;
  while (event == Trainer::Event::working) event = trainer.advance();
  ASSERT_EQ(event, Trainer::Event::failed);
  EXPECT_NE(trainer.failure().message.find("step 1: the update"), std::string::npos) << trainer.failure().message;
  EXPECT_EQ(trainer.state().step, 0);
}

TEST_P(Training, EndsAfterAnEvaluationThatIsNotFinite) {
  TrainOptions options = small_options();
  options.eval_every = 1;
  options.optimiser.rate = 1e25;  // finite numbers, whose products are not
  options.optimiser.warm_up_share = 0;
  Trainer trainer(*base_, golden_masters(*base_, options.adapter), options, samples_, samples_, wide_limits(*base_));
  Trainer::Event event = Trainer::Event::working;
  while (event == Trainer::Event::working || event == Trainer::Event::step_done) event = trainer.advance();
  ASSERT_EQ(event, Trainer::Event::failed);
  EXPECT_NE(trainer.failure().message.find("evaluation after step 1: the loss is"), std::string::npos) << trainer.failure().message;
}

}  // namespace
}  // namespace slora::testing
