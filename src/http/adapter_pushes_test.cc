#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "adapters/testing/pushed_file.h"
#include "http/testing/adapter_routes_fixture.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class AdapterPushesTest : public AdapterRoutesFixture {
 protected:
  std::shared_ptr<AnsweredExchange> push(const std::string& name, const std::string& body,
                                         const char* content_type = "application/octet-stream") {
    const std::shared_ptr<AnsweredExchange> exchange = of_body(body, content_type, name);
    routes->push(exchange);
    return exchange;
  }
  std::shared_ptr<AnsweredExchange> unload(const std::string& name) {
    const std::shared_ptr<AnsweredExchange> exchange = named(name);
    routes->unload(exchange);
    return exchange;
  }

  const std::string rank4 = pushed_file(lora_of_rank(4)), rank8 = pushed_file(lora_of_rank(8));
};

TEST_F(AdapterPushesTest, GivesANameTheTensorsOfABody) {
  const HttpResponse first = answer_of(*push("rl%2Fpolicy", rank4));
  EXPECT_EQ(first.status, 200);
  EXPECT_THAT(first.body, HasSubstr(R"({"name":"rl/policy","sha256":")"));
  ASSERT_TRUE(store.resolve("rl/policy"));
  EXPECT_EQ(store.find("rl/policy")->rank, 4);
  const HttpResponse second = answer_of(*push("rl/policy", rank8, "application/octet-stream; charset=binary"));
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(store.find("rl/policy")->rank, 8);
  EXPECT_NE(first.body, second.body) << "other content";
}

TEST_F(AdapterPushesTest, RefusesByNameAndKeepsWhatTheNameMeans) {
  ASSERT_EQ(answer_of(*push("policy", rank4)).status, 200);
  EXPECT_EQ(answer_of(*push("policy", rank8, "application/json")).status, 415);
  EXPECT_THAT(answer_of(*push("..", rank8)).body, HasSubstr("bad_name"));
  EXPECT_THAT(answer_of(*push("a/-x", rank8)).body, HasSubstr("bad_name"));
  const HttpResponse broken = answer_of(*push("policy", "no safetensors file"));
  EXPECT_EQ(broken.status, 400);
  EXPECT_THAT(broken.body, HasSubstr("E_SAFETENSORS"));
  EXPECT_EQ(store.find("policy")->rank, 4);
  EXPECT_TRUE(store.resolve("policy"));
  EXPECT_EQ(answer_of(*push("policy", rank8)).status, 200) << "a push that was refused is over";
}

// The folders hang between writing one and reading it.
TEST_F(AdapterPushesTest, RefusesTensorsWhileOthersOfTheNameAreRead) {
  ASSERT_EQ(answer_of(*push("warm-up", rank4)).status, 200);
  const std::string pushed_root = std::filesystem::path(store.find("warm-up")->folder).parent_path().string();
  folders.hang(pushed_root);
  const auto first = push("policy", rank4), second = push("policy", rank8), other = push("other", rank8);
  const HttpResponse refused = answer_of(*second);
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(refused.body, HasSubstr("E_PUSH_UNDER_WAY"));
  EXPECT_FALSE(first->response);
  folders.mend();
  EXPECT_EQ(answer_of(*first).status, 200);
  EXPECT_EQ(answer_of(*other).status, 200);
  EXPECT_EQ(store.find("policy")->rank, 4);
  EXPECT_EQ(answer_of(*push("policy", rank8)).status, 200);
  EXPECT_EQ(store.find("policy")->rank, 8);
}

TEST_F(AdapterPushesTest, LeavesNoNameThatWasUnloadedMeanwhile) {
  ASSERT_EQ(answer_of(*push("policy", rank4)).status, 200);
  folders.hang(std::filesystem::path(store.find("policy")->folder).parent_path().string());
  const auto pushed = push("policy", rank8);
  EXPECT_EQ(answer_of(*unload("policy")).status, 200);
  folders.mend();
  const HttpResponse refused = answer_of(*pushed);
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(refused.body, HasSubstr("E_UNLOADED"));
  EXPECT_FALSE(store.find("policy")) << "its folder would be gone";
}

TEST_F(AdapterPushesTest, TakesTheNextTensorsOnceAReadThatWasGivenUpHasEnded) {
  ASSERT_EQ(answer_of(*push("policy", rank4)).status, 200);
  const std::string kept = store.find("policy")->folder;
  folders.hang(std::filesystem::path(kept).parent_path().string());
  EXPECT_EQ(answer_of(*push("policy", rank8)).status, 503);
  EXPECT_EQ(answer_of(*push("policy", rank8)).status, 409) << "it hangs still";
  folders.mend();
  while (routes->is_reading()) std::this_thread::yield();
  EXPECT_EQ(store.find("policy")->rank, 4) << "what was refused must not appear later";
  EXPECT_TRUE(std::filesystem::exists(kept));
  EXPECT_EQ(answer_of(*push("policy", rank8)).status, 200);
}

}  // namespace
}  // namespace slora
