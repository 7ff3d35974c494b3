#include "train/checkpoints.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/temporary_folder.h"
#include "train/peft_writer.h"
#include "train/testing/training_fixture.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;

std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class PeftFolders : public ::testing::Test {
 protected:
  AdapterMasters masters(const AdapterOptions& options) const {
    Result<AdapterMasters> made = make_masters(options, table_, 3);
    check(made.has_value(), "expected masters");
    for (std::size_t i = 0; i < made->values.size(); ++i) made->values[i] += 1e-3f * static_cast<float>(i % 7);
    return std::move(*made);
  }
  nlohmann::json written(const AdapterMasters& adapter) const {
    const Status status = write_peft_files(folder_.path(), adapter, table_, {"a/base", {{"seed", "3"}}});
    EXPECT_TRUE(status.has_value()) << status.error().message;
    return nlohmann::json::parse(text_of_file(folder_.path() + "/adapter_config.json"));
  }

  const ModuleTable table_ = make_module_table(*read_model_config(training_golden("mix32")));
  const TemporaryFolder folder_;
};

TEST_F(PeftFolders, AreReadAsTheyWereWritten) {
  const AdapterMasters adapter = masters({.rank = 4,
                                          .alpha = 6,
                                          .scale_by_root_of_rank = true,
                                          .target_modules = {"q_proj", "down_proj"},
                                          .rank_pattern = {{"layers.1.self_attn.q_proj", 7}},
                                          .alpha_pattern = {{"layers.0.mlp.down_proj", 3}}});
  for (int time = 0; time < 2; ++time) {  // also in place of one that is there
    const nlohmann::json config = written(adapter);
    EXPECT_EQ(config["target_modules"], nlohmann::json({"down_proj", "q_proj"}));
    EXPECT_EQ(config["rank_pattern"], nlohmann::json({{"model.layers.1.self_attn.q_proj", 7}}));
    const Result<AdapterMasters> read = make_masters({.init = folder_.path()}, table_, 99);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(read->values, adapter.values);
    ASSERT_EQ(read->modules.size(), adapter.modules.size());
    for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
      EXPECT_EQ(read->modules[i].path, adapter.modules[i].path);
      EXPECT_EQ(read->modules[i].scale, adapter.modules[i].scale) << adapter.modules[i].path;
      EXPECT_EQ(read->modules[i].alpha, adapter.modules[i].alpha);
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 3) << "config, README and weights";
  const std::string readme = text_of_file(folder_.path() + "/README.md");
  EXPECT_NE(readme.find("base_model: \"a/base\"\nlibrary_name: peft"), std::string::npos) << readme;
  EXPECT_NE(readme.find("| seed | 3 |"), std::string::npos);
}

TEST_F(PeftFolders, NameWholePathsWhereNamesMeanOtherModulesToo) {
  AdapterMasters adapter = masters({.target_modules = {"q_proj"}});
  adapter.values.resize(adapter.modules[0].end());
  adapter.modules.resize(1);
  EXPECT_EQ(written(adapter)["target_modules"], nlohmann::json({"model.layers.0.self_attn.q_proj"}));
}

class SavedRuns : public ::testing::Test {
 protected:
  static TrainingState state_of(std::int64_t step) {
    TrainingState state;
    state.step = step;
    state.values = state.first_moments = state.second_moments = {1, 2, 3, static_cast<float>(step)};
    return state;
  }
  Checkpoints checkpoints(std::int32_t kept_max = 2) const {
    return Checkpoints(out_, kept_max, [this](const std::string& folder, const AdapterMasters&) -> Status {
      if (fails_) return error("E_WRITE", "the disk is full");
      std::ofstream(folder + "/adapter_model.safetensors") << "numbers";
      return {};
    });
  }

  const TemporaryFolder folder_;
  const std::string out_ = folder_.path() + "/run";
  const RunIdentity run_ = {{"data", "abc"}, {"rank", "16"}};
  bool fails_ = false;
};

TEST_F(SavedRuns, KeepTheNewestCheckpoints) {
  Checkpoints all = checkpoints();
  EXPECT_FALSE(all.newest()->has_value());
  for (const std::int64_t step : {9, 10, 100}) ASSERT_TRUE(all.save(state_of(step), {}, run_).has_value());
  EXPECT_EQ(*all.newest(), out_ + "/checkpoints/step-00000100");
  EXPECT_FALSE(fs::exists(out_ + "/checkpoints/step-00000009"));
  EXPECT_TRUE(fs::exists(out_ + "/checkpoints/step-00000010"));
  EXPECT_TRUE(all.save(state_of(100), {}, run_).has_value()) << "it is there already";
  const Result<TrainingState> read = read_state(**all.newest(), run_, 4);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->step, 100);
  EXPECT_EQ(read->values, state_of(100).values);
  EXPECT_TRUE(std::isinf(read->best_loss));
}

TEST_F(SavedRuns, LeaveNothingOfACheckpointThatFails) {
  Checkpoints all = checkpoints();
  ASSERT_TRUE(all.save(state_of(3), {}, run_).has_value());
  fails_ = true;
  EXPECT_EQ(all.save(state_of(4), {}, run_).error().message, "the disk is full");
  EXPECT_EQ(std::distance(fs::directory_iterator(out_ + "/checkpoints"), fs::directory_iterator()), 1);
}

TEST_F(SavedRuns, AreRefusedWhereTheyDiffer) {
  Checkpoints all = checkpoints();
  const std::string path = *all.save(state_of(3), {}, run_);
  const auto expect_refused = [&](const Result<TrainingState>& read, const std::string& mention) {
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, "E_STATE");
    EXPECT_NE(read.error().message.find(mention), std::string::npos) << read.error().message;
  };
  expect_refused(read_state(path, {{"data", "abd"}, {"rank", "16"}}, 4),
                 "\"data\" of the run that is to go on is \"abc\", and now \"abd\"");
  expect_refused(read_state(path, run_, 5), "expected 5 numbers \"values\"");
  std::ofstream(path + "/training_state.json") << "{}";
  expect_refused(read_state(path, run_, 4), "expected the state of a training run");
}

}  // namespace
}  // namespace slora::testing
