#include "http/adapter_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "http/testing/adapter_routes_fixture.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

using AdapterRoutesTest = AdapterRoutesFixture;

TEST_F(AdapterRoutesTest, LoadsAndRefusesByName) {
  EXPECT_THAT(answer_of(*load("sql", fast.file("one"))).body, HasSubstr("Success"));
  EXPECT_TRUE(store.find("sql"));
  EXPECT_EQ(answer_of(*load("sql", fast.file("two"))).status, 400) << "the name is taken";
  EXPECT_EQ(answer_of(*load("..", fast.file("two"))).status, 400);
  EXPECT_THAT(answer_of(*load("poems", fast.file("nowhere"))).body, HasSubstr("lora_path"));
}

TEST_F(AdapterRoutesTest, AHangingFolderDelaysNoOtherRootAndIsGivenUp) {
  folders.hang(slow.path());
  std::vector<std::shared_ptr<AnsweredExchange>> hanging;
  for (const char* name : {"one", "two", "three", "four", "five", "six"}) hanging.push_back(load(name, slow.file(name)));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(answer_of(*load("fast", fast.file("one"))).status, 200);
  EXPECT_FALSE(hanging.front()->response) << "it waits, for " << seconds(std::chrono::steady_clock::now() - begun) << " s";
  for (const auto& exchange : hanging) {
    const HttpResponse answer = answer_of(*exchange);
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.body, HasSubstr("adapter_unavailable"));
    EXPECT_THAT(answer.body, HasSubstr("nothing was read for"));
  }
  EXPECT_TRUE(routes->is_reading());
  folders.mend();
  while (routes->is_reading()) std::this_thread::yield();
  EXPECT_FALSE(store.find("one")) << "what was refused must not appear later";
  EXPECT_EQ(answer_of(*load("one", slow.file("one"))).status, 200);
}

TEST_F(AdapterRoutesTest, APinThatWaitsForItsFolderDelaysNoUnpin) {
  ASSERT_EQ(answer_of(*load("sql", slow.file("one"))).status, 200);
  folders.hang(slow.path());
  const auto pinned = named("sql"), unpinned = named("poems");
  routes->pin(pinned);
  routes->unpin(unpinned);
  EXPECT_THAT(answer_of(*unpinned).body, HasSubstr("'poems' unpinned"));
  EXPECT_FALSE(pinned->response) << pinned->response->body;
  folders.mend();
  EXPECT_THAT(answer_of(*pinned).body, HasSubstr("'sql'"));
}

TEST_F(AdapterRoutesTest, ReadsTextsUnderTheGateOfTheLoad) {
  AdapterApiOptions given = options();
  std::atomic<bool> was_closed = false;
  given.check_texts = [&](const FolderPath&, std::int32_t, Gate& gate) -> Status {
    gate.compute([&] { std::this_thread::sleep_for(std::chrono::milliseconds(2500)); });
    was_closed = !gate.pass([] {});
    return {};
  };
  routes.reset();
  delayed.clear();  // it was theirs
  make_routes(given);
  EXPECT_EQ(answer_of(*load("sql", fast.file("one"))).status, 200) << "building a tokenizer took longer than a read may be idle";
  EXPECT_FALSE(was_closed);
}

}  // namespace
}  // namespace slora
