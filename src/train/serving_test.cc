// The loss that training prints is what the engine says of the same tokens, to the bit.
#include <gtest/gtest.h>

#include "engine/testing/engine_fixture.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "train/testing/training_fixture.h"

namespace slora::testing {
namespace {

class ServedLoss : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Backends, ServedLoss, ::testing::ValuesIn(training_backends()), [](const auto& test) { return test.param; });

void write_adapter(const TemporaryFolder& folder, const AdapterMasters& masters) {
  folder.write("trained/adapter_config.json",
               R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 5, "lora_alpha": 10, "target_modules": "all-linear"})");
  std::vector<TensorToWrite> tensors;
  const std::span<const float> values(masters.values);
  for (const MasterModule& module : masters.modules) {
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, std::span<const float> numbers) {
      tensors.push_back(
          tensor_to_write("base_model.model." + module.path + name, DType::f32, std::move(shape), {numbers.begin(), numbers.end()}));
    };
    add(".lora_A.weight", {module.rank, module.in}, module.a_of(values));
    add(".lora_B.weight", {module.out, module.rank}, module.b_of(values));
  }
  const Status written = write_safetensors(folder.path() + "/trained/adapter_model.safetensors", tensors);
  ASSERT_TRUE(written.has_value()) << written.error().message;
}

TEST_P(ServedLoss, IsThatOfTheLastEvaluation) {
  for (const char* model : {"mix32", "qwen3_norms", "granite", "olmo2"}) {
    const std::unique_ptr<TrainingBase> base = load_golden_base(model, GetParam());
    const std::vector<Sample> samples = golden_samples(base->config.vocab_size);
    TrainOptions options;
    options.adapter.rank = 5;
    options.adapter.alpha = 10;
    options.optimiser.rate = 1e-2;
    options.batch = 3;
    options.steps_max = 5;
    Trainer trainer(*base, golden_masters(*base, options.adapter), options, samples, samples,
                    {.rows = 40, .samples = 3, .head_rows = 16, .kept_layers = 1});
    run_to_end(trainer);
    EXPECT_GT(trainer.evaluation_report().label_count, 40);

    const TemporaryFolder folder;
    write_adapter(folder, trainer.masters());
    TestEngine engine({.model = model, .backend = GetParam(), .adapters = folder.path()});
    double loss = 0;
    for (const Sample& sample : samples) {
      GenerationRequest request = engine.request("trained", sample.tokens, 1);
      request.sampling.prompt_logprob_count = 0;
      const Stream stream = engine.wait(engine.submit(std::move(request)));
      ASSERT_EQ(stream.prompt_logprobs.size() + 1, sample.tokens.size()) << stream.error_message;
      for (std::size_t i = 1; i < sample.tokens.size(); ++i) {
        if (sample.labels[i]) loss -= static_cast<double>(stream.prompt_logprobs[i - 1].token.logprob);
      }
    }
    EXPECT_EQ(loss / static_cast<double>(trainer.evaluation_report().label_count), trainer.evaluation_report().loss) << model;
  }
}

}  // namespace
}  // namespace slora::testing
