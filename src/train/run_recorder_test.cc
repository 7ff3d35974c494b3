#include "train/run_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RecorderClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return time; }
  Timestamp time{1};
};

StepReport recorded_step(std::int64_t step) {
  return {.step = step,
          .step_count = 10,
          .epoch = 0.5,
          .loss = 2,
          .accuracy = 0.5,
          .gradient_norm = 1,
          .rate = 1e-4,
          .label_count = 5,
          .token_count = 20};
}

TEST(RunRecorder, LogsEveryStepAsItComes) {
  const TemporaryFolder folder;
  RecorderClock clock;
  const std::string log = folder.write("log.jsonl", "{\"of\": \"a run before\"}\n");
  RunRecorder recorder = RunRecorder::create(clock, log).value();
  clock.time += std::chrono::seconds(2);
  EXPECT_THAT(recorder.add(recorded_step(1)).value(), AllOf(HasSubstr("step 1/10 "), HasSubstr("10 tokens/s"), HasSubstr("18s left")));
  clock.time += std::chrono::seconds(60);
  EXPECT_THAT(recorder.add(EvaluationReport{.step = 1, .loss = 3, .is_best = true}).value(), HasSubstr("loss 3.0000"));
  clock.time += std::chrono::seconds(2);
  EXPECT_THAT(recorder.add(recorded_step(2)).value(), HasSubstr("16s left")) << "the evaluation is not a step's time";
  const std::string text = read_text_file(log, 10'000).value();
  std::vector<Json> lines;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    lines.push_back(Json::parse(text.substr(begin, text.find('\n', begin) - begin)));
  }
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[1]["step"], 1);
  EXPECT_GT(lines[1]["memory_bytes"], 1'000'000);
  EXPECT_EQ(lines[2]["eval_loss"], 3);
  EXPECT_EQ(lines[3]["seconds"], 2);
}

TEST(RunRecorder, WritesFilesAndGoesOnWithThem) {
  const TemporaryFolder folder;
  const RecorderClock clock;
  RunRecorder recorder = RunRecorder::create(clock, "").value(), continued = RunRecorder::create(clock, "").value();
  ASSERT_TRUE(recorder.add(recorded_step(1)));
  ASSERT_TRUE(recorder.add(recorded_step(2)));
  ASSERT_TRUE(recorder.write_state(folder.path()));
  ASSERT_TRUE(recorder.write_chart(folder.path()));
  EXPECT_THAT(read_text_file(folder.file("loss.svg"), 1 << 20).value(), HasSubstr("<svg"));
  ASSERT_TRUE(continued.restore(folder.path(), 1));
  ASSERT_TRUE(continued.add(recorded_step(2)));
  const std::string written = read_text_file(folder.file("trainer_state.json"), 10'000).value();
  ASSERT_TRUE(continued.write_state(folder.path()));
  EXPECT_EQ(read_text_file(folder.file("trainer_state.json"), 10'000).value(), written);
  EXPECT_TRUE(RunRecorder::create(clock, "").value().restore(folder.file("none"), 1)) << "a checkpoint without the file";
  folder.write("trainer_state.json", "[]");
  EXPECT_THAT(RunRecorder::create(clock, "").value().restore(folder.path(), 1).error().message,
              HasSubstr("trainer_state.json: log_history"));
}

TEST(RunRecorder, RefusesALogThatCantBeWritten) {
  const TemporaryFolder folder;
  const RecorderClock clock;
  EXPECT_THAT(RunRecorder::create(clock, folder.path()).error().message, HasSubstr("--log: "));
  RunRecorder full = RunRecorder::create(clock, "/dev/full").value();
  EXPECT_EQ(full.add(recorded_step(1)).error().code, "E_WRITE");
}

}  // namespace
}  // namespace slora
