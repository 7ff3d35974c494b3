// Gradients and losses against torch and PEFT; see tools/golden_gradients.py.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/testing/largest_property.h"
#include "formats/safetensors.h"
#include "train/testing/training_fixture.h"

namespace slora::testing {
namespace {

std::vector<float> read_floats(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  check(info != nullptr, "expected the tensor in golden data");
  std::vector<float> out(info->bytes / sizeof(float));
  check(file.read(*info, std::as_writable_bytes(std::span(out))).has_value(), "expected readable golden data");
  return out;
}

class TrainedFamilies : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Models, TrainedFamilies,
                         ::testing::Values("gemma3_text", "granite", "llama2_mha", "llama3_rope", "llama_bias", "mistral_sliding", "olmo2",
                                           "olmo3", "phi3", "phi3_longrope", "qwen2_bias", "qwen3_norms", "smollm3"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(TrainedFamilies, HaveTheGradientsOfTorch) {
  const std::string model = GetParam();
  const std::unique_ptr<TrainingBase> base = load_golden_base(model);
  TrainedAdapter adapter(golden_masters(*base, {.rank = 2, .alpha = 3}, 0.1), base->modules, *base->backend);
  const std::vector<Sample> samples = golden_samples(base->config.vocab_size, 4);
  std::vector<const Sample*> batch;
  std::int64_t labels = 0;
  for (const Sample& sample : samples) {
    batch.push_back(&sample);
    labels += label_count_of(sample);
  }
  SamplePass pass({base->config, base->weights, *base->backend}, adapter, pass_kv_geometry(*base), wide_limits(*base));
  pass.begin(batch, 1.0f / static_cast<float>(labels), SamplePass::Kind::gradients);
  while (pass.advance()) continue;

  const Result<SafetensorsFile> expected = SafetensorsFile::open(training_golden("gradients/gradients.safetensors"));
  ASSERT_TRUE(expected.has_value()) << expected.error().message;
  double loss = 0;
  for (const LabelLoss& label : pass.losses()) loss += static_cast<double>(label.loss) / static_cast<double>(labels);
  const float expected_loss = read_floats(*expected, model + "/loss").front();
  EXPECT_NEAR(loss / static_cast<double>(expected_loss), 1, 1e-6);
  const auto expect_equal = [&](std::span<const float> found, const std::string& name) {
    const std::vector<float> gradient = read_floats(*expected, name);
    ASSERT_EQ(found.size(), gradient.size()) << name;
    float largest = 0, difference = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::abs(gradient[i]));
      difference = std::max(difference, std::abs(found[i] - gradient[i]));
    }
    record_largest("relative_error", static_cast<double>(difference / largest));
    EXPECT_LE(difference, 1e-5f * largest) << name;
  };
  for (const MasterModule& module : adapter.masters().modules) {
    expect_equal(module.a_of(adapter.gradients()), model + "/" + module.path + ".lora_A");
    expect_equal(module.b_of(adapter.gradients()), model + "/" + module.path + ".lora_B");
  }
}

// The options of a curve of tools/golden_gradients.py.
TrainOptions options_of(const std::string& curve) {
  TrainOptions options;
  options.adapter.rank = 4;
  options.adapter.alpha = 6;
  options.optimiser.rate = 5e-3;
  options.batch = 3;
  options.steps_max = 30;
  options.seed = kTrainingSeed;
  if (curve == "rslora") options.adapter.scale_by_root_of_rank = true;
  if (curve == "patterns") {
    options.adapter.rank_pattern = {{"q_proj", 2}, {"layers.1.mlp.down_proj", 5}};
    options.adapter.alpha_pattern = {{"v_proj", 3}};
  }
  if (curve == "lora_plus") {
    options.optimiser.rate = 1e-3;
    options.optimiser.b_rate_factor = 16;
  }
  if (curve == "cosine_decay") {
    options.optimiser.schedule = RateSchedule::cosine;
    options.optimiser.warm_up_share = 0.1;
    options.optimiser.weight_decay = 0.1;
    options.optimiser.gradient_norm_max = 0.05;
  }
  if (curve == "constant_attention") {
    options.optimiser.schedule = RateSchedule::constant;
    options.optimiser.warm_up_share = 0.2;
    options.optimiser.gradient_norm_max = 0;
    options.adapter.target_modules = {"q_proj", "v_proj"};
  }
  return options;
}

// A curve, and the backend.
class TrainedCurves : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

INSTANTIATE_TEST_SUITE_P(Curves, TrainedCurves,
                         ::testing::Combine(::testing::Values("lora", "rslora", "patterns", "lora_plus", "cosine_decay",
                                                              "constant_attention", "qwen3"),
                                            ::testing::ValuesIn(training_backends())),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });

TEST_P(TrainedCurves, FallAsThoseOfPeft) {
  const auto& [curve, backend] = GetParam();
  const bool is_exact = backend == "reference";  // else products are of bf16
  const double loss_error_max = is_exact ? 1e-5 : 2e-3, norm_error_max = is_exact ? 1e-4 : 1e-2;
  std::ifstream file(training_golden("gradients/curves.json"));
  const nlohmann::json expected = nlohmann::json::parse(file).at(curve);
  const std::unique_ptr<TrainingBase> base = load_golden_base(curve == "qwen3" ? "qwen3_norms" : "llama2_mha", backend);
  const TrainOptions options = options_of(curve);
  const std::vector<Sample> samples = golden_samples(base->config.vocab_size);
  Trainer trainer(*base, golden_masters(*base, options.adapter), options, samples, {}, wide_limits(*base));
  const std::vector<StepReport> reports = run_to_end(trainer);
  ASSERT_EQ(reports.size(), expected.at("losses").size());
  for (std::size_t step = 0; step < reports.size(); ++step) {
    const auto loss = expected.at("losses")[step].get<double>(), norm = expected.at("norms")[step].get<double>();
    record_largest("relative_loss_error", std::abs(reports[step].loss / loss - 1));
    record_largest("relative_norm_error", std::abs(reports[step].gradient_norm / norm - 1));
    EXPECT_NEAR(reports[step].loss / loss, 1, loss_error_max) << "step " << step;
    EXPECT_NEAR(reports[step].gradient_norm / norm, 1, norm_error_max) << "step " << step;
  }
}

}  // namespace
}  // namespace slora::testing
