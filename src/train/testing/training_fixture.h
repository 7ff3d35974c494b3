#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/source_path.h"
#include "train/counter_draws.h"
#include "train/trainer.h"
#include "train/training_base.h"

// What tests of training share; the samples and initial values are those of tools/golden_gradients.py.
namespace slora::testing {

inline constexpr std::uint64_t kTrainingSeed = 7;
inline constexpr auto kTestTokens = static_cast<DrawPurpose>(101), kTestLabels = static_cast<DrawPurpose>(102),
                      kTestB = static_cast<DrawPurpose>(103);

inline std::string training_golden(const std::string& name) { return source_path("tests/golden/" + name); }

inline std::unique_ptr<TrainingBase> load_golden_base(const std::string& model, const std::string& backend = "reference", int threads = 1) {
  Result<std::unique_ptr<TrainingBase>> base =
      load_training_base({.folder = training_golden(model), .backend = backend, .threads = threads});
  if (!base) ADD_FAILURE() << base.error().message;
  return std::move(base.value());
}

// `count` samples of 3 to 21 tokens, most of which are labels.
inline std::vector<Sample> golden_samples(std::int32_t vocabulary, std::uint64_t count = 8) {
  std::vector<Sample> samples;
  for (std::uint64_t i = 0; i < count; ++i) {
    Sample sample;
    for (std::uint64_t k = 0; k < 3 + (i * 7) % 19; ++k) {
      sample.tokens.push_back(static_cast<TokenId>(drawn_number(kTrainingSeed, kTestTokens, i, k) * vocabulary));
      sample.labels.push_back(k == 1 || (k > 1 && drawn_number(kTrainingSeed, kTestLabels, i, k) < 0.6));
    }
    sample.line = static_cast<std::int64_t>(i) + 1;
    samples.push_back(std::move(sample));
  }
  return samples;
}

inline AdapterMasters golden_masters(const TrainingBase& base, const AdapterOptions& options, double b_scale = 0) {
  Result<AdapterMasters> masters = make_masters(options, base.modules, kTrainingSeed);
  if (!masters) ADD_FAILURE() << masters.error().message;
  for (std::size_t i = 0; i < masters->modules.size(); ++i) {
    const std::span<float> b = masters->modules[i].b_of(std::span(masters->values));
    for (std::size_t k = 0; k < b.size(); ++k) b[k] = static_cast<float>((2 * drawn_number(kTrainingSeed, kTestB, i, k) - 1) * b_scale);
  }
  return std::move(*masters);
}

// Backends of this build that train.
inline std::vector<std::string> training_backends() {
  std::vector<std::string> names;
  for (const char* name : {"reference", "cpu"}) {
    if ((*create_backend(name, {.threads = 1}))->train_ops() != nullptr) names.emplace_back(name);
  }
  return names;
}
// Space for all golden samples at once, and everything kept.
inline PassLimits wide_limits(const TrainingBase& base) {
  return {.rows = 256, .samples = 8, .head_rows = 64, .kept_layers = base.config.layer_count};
}

// Until it ends: the reports of its steps.
inline std::vector<StepReport> run_to_end(Trainer& trainer) {
  std::vector<StepReport> reports;
  for (Trainer::Event event = Trainer::Event::working; event != Trainer::Event::finished && event != Trainer::Event::failed;) {
    event = trainer.advance();
    if (event == Trainer::Event::step_done) reports.push_back(trainer.step_report());
    if (event == Trainer::Event::failed) ADD_FAILURE() << trainer.failure().message;
  }
  return reports;
}

}  // namespace slora::testing
