#include "cli/model_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ModelPath, AnswersAHubNameWithTheCommandThatDownloadsIt) {
  const Status status = check_model_folder("Qwen/Qwen2.5-0.5B-Instruct");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("hf download Qwen/Qwen2.5-0.5B-Instruct --local-dir models/Qwen2.5-0.5B-Instruct"));
}

TEST(ModelPath, SaysWhatIsMissing) {
  const Status missing = check_model_folder("/nowhere/at/all");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("no folder /nowhere/at/all"));
  EXPECT_THAT(missing.error().message, Not(HasSubstr("hf download")));
  const Status empty = check_model_folder("/proc");
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("no config.json"));
}

TEST(ModelPath, TakesAGgufFileAndNoOther) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", "");
  EXPECT_THAT(check_model_folder(folder.file("model.safetensors")).error().message, HasSubstr("model.safetensors is a file: expected a"));
  folder.write("model-q8_0.gguf", "");
  folder.write("model-q4.gguf", "");
  EXPECT_TRUE(check_model_folder(folder.file("model-q4.gguf")));
  EXPECT_THAT(check_model_folder(folder.path()).error().message, HasSubstr("--model " + folder.file("model-q4.gguf")));
  EXPECT_THAT(check_model_folder(folder.file("none.gguf")).error().message, HasSubstr("there is no folder"));
}

}  // namespace
}  // namespace slora
