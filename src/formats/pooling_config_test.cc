#include "formats/pooling_config.h"

#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

Result<Pooling> read(const std::string& text) {
  TemporaryFolder folder;
  folder.write("1_Pooling/config.json", text);
  return read_pooling_config(folder.path());
}

TEST(PoolingConfig, IsTheLastTokenWhereThereIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_pooling_config(folder.path()).value(), Pooling::last);
}

TEST(PoolingConfig, IsReadInBothForms) {
  EXPECT_EQ(read(R"({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": false})").value(),
            Pooling::mean);
  EXPECT_EQ(read(R"({"pooling_mode_cls_token": false, "pooling_mode_lasttoken": true, "include_prompt": true})").value(), Pooling::last);
  EXPECT_EQ(read(R"({"pooling_mode": "mean"})").value(), Pooling::mean);
  EXPECT_EQ(read(R"({"pooling_mode": "lasttoken"})").value(), Pooling::last);
}

TEST(PoolingConfig, NamesNoWayThatIsNotServed) {
  EXPECT_EQ(read(R"({"pooling_mode_cls_token": true})").value(), Pooling::none);
  EXPECT_EQ(read(R"({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true})").value(), Pooling::none);
  EXPECT_EQ(read("{}").value(), Pooling::none);
}

TEST(PoolingConfig, ReportsWhatIsNoConfig) {
  EXPECT_EQ(read("[]").error().code, "E_BAD_JSON");
  EXPECT_EQ(read(R"({"pooling_mode_mean_tokens": 1})").error().code, "E_BAD_JSON");
}

}  // namespace
}  // namespace slora
