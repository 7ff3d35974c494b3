#include "bench/random_adapters.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "adapters/adapter_image.h"
#include "bench/testing/tiny_config.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

class RandomAdaptersTest : public ::testing::Test {
 protected:
  const ModelConfig config_ = *parse_model_config(*parse_json(testing::kTinyConfig));
  const AdapterBase base_{make_module_table(config_), {DType::bf16, 2}, 4096, 512};
  AdapterStore store_{base_};
  TemporaryFolder folder_;
  RandomAdapters adapters_{folder_.path(), config_};
};

TEST_F(RandomAdaptersTest, AreServedAndDifferInContent) {
  constexpr std::int32_t kCount = 70;  // more than there are weight files
  const AdapterKind kind{0, AdapterTargets::all};
  ASSERT_TRUE(adapters_.provide(store_, kind, kCount));
  std::set<Sha256Digest> contents;
  for (std::int32_t i = 0; i < kCount; ++i) {
    const std::string folder = folder_.file(RandomAdapters::adapter_name(kind, i));
    const Result<ExaminedAdapter> examined = store_.examine(folder, 1000);
    ASSERT_TRUE(examined) << examined.error().message;
    EXPECT_EQ(examined->rank, kind.rank_of(i));
    contents.insert(examined->identity);
  }
  EXPECT_EQ(contents.size(), kCount);
}

TEST_F(RandomAdaptersTest, ChangeWhatTheirKindSays) {
  const AdapterKind kind{8, AdapterTargets::qv};
  ASSERT_TRUE(adapters_.provide(store_, kind, 1));
  const Result<PreparedAdapter> adapter = prepare_adapter(FolderPath(folder_.file("r8-qv-0")), base_);
  ASSERT_TRUE(adapter) << adapter.error().message;
  EXPECT_EQ(adapter->layouts.front().records.size(), 4u) << "q and v of two layers";
  std::uint64_t parameters = 0;
  for (const AdapterRecord& record : adapter->layouts.front().records) {
    parameters += static_cast<std::uint64_t>(record.rank) * static_cast<std::uint64_t>(record.in + record.out);
  }
  EXPECT_EQ(parameters, parameter_count(config_, kind.targets, kind.rank));
}

TEST_F(RandomAdaptersTest, ShareTheProjectionOfVera) {
  const AdapterKind kind{32, AdapterTargets::all, RandomFamily::vera};
  ASSERT_TRUE(adapters_.provide(store_, kind, 70));
  const auto first = store_.resolve("vera-r32-all-0").value(), last = store_.resolve("vera-r32-all-69").value();
  ASSERT_EQ(first->shared().size(), 1u);
  EXPECT_EQ(first->shared().front(), last->shared().front());
  EXPECT_LT(first->page_count(), first->shared().front().page_count);
  std::uint64_t parameters = 0;
  for (const ModuleEntry& module : base_.modules.modules) {
    if (module.site.kind != SiteKind::head) parameters += static_cast<std::uint64_t>(kind.rank + module.out);
  }
  EXPECT_EQ(parameter_count(config_, kind.targets, kind.rank, kind.family), parameters);
}

TEST_F(RandomAdaptersTest, AreNotWrittenOverOthers) {
  const AdapterKind kind{8, AdapterTargets::qv};
  ASSERT_TRUE(adapters_.write(kind, 0));
  const std::string config = folder_.write("r8-qv-0/adapter_config.json", "{}");
  const Status written = adapters_.write(kind, 0);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("r8-qv-0"), std::string::npos);
  EXPECT_EQ(*read_text_file(config, 100), "{}");
}

// A limit on file sizes simulates a full disk.
TEST_F(RandomAdaptersTest, SayWhyTheyCannotBeWrittenAndLeaveNoHalves) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const Status written = adapters_.write({8, AdapterTargets::all}, 0);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message, folder_.file("r8-all-0/adapter_model.safetensors can't be written: File too large"));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("r8-all-0")));
  EXPECT_TRUE(adapters_.write({8, AdapterTargets::all}, 0));
}

TEST_F(RandomAdaptersTest, LeaveNoHalvesWhereTheFileToShareIsMissing) {
  ASSERT_FALSE(adapters_.write({8, AdapterTargets::all}, 63));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("r8-all-63")));
}

}  // namespace
}  // namespace slora::bench
