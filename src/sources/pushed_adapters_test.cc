#include "sources/pushed_adapters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <new>
#include <optional>
#include <thread>

#include "adapters/adapter_store.h"
#include "adapters/testing/pushed_file.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Status nothing_to_install() { return {}; }
bool nothing_to_remove() { return true; }

// A whole push: its folder.
Result<FolderPath> push_of(PushedAdapters& pushed, const std::string& name, const std::string& file) {
  const std::shared_ptr<PushedAdapters::Push> push = pushed.begin(name).value();
  Result<FolderPath> folder = push->write(file);
  if (folder && !push->keep(nothing_to_install)) return error("E_TEST", "expected the push to be kept");
  return folder;
}

TEST(PushedAdapters, WriteFoldersOfWhatCameInABody) {
  const std::string body = pushed_file(small_lora());
  PushedAdapters pushed(3 * body.size());
  AdapterStore store(test_base());
  const FolderPath first = push_of(pushed, "rl", body).value();
  EXPECT_TRUE(store.examine(first, 1000));
  const FolderPath second = push_of(pushed, "rl", body).value();
  const std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
  const FolderPath third = push->write(body).value();
  EXPECT_FALSE(std::filesystem::exists(first.path)) << "the latest two are kept";
  EXPECT_TRUE(std::filesystem::exists(second.path));
  EXPECT_EQ(push_of(pushed, "other", body).error().code, "E_TOO_LARGE");
  push->drop();
  EXPECT_FALSE(std::filesystem::exists(third.path));
  EXPECT_TRUE(std::filesystem::exists(second.path)) << "the name means it still";
  EXPECT_TRUE(pushed.forget("rl", nothing_to_remove));
  EXPECT_FALSE(std::filesystem::exists(second.path));
  EXPECT_TRUE(push_of(pushed, "other", body));
}

TEST(PushedAdapters, RefuseWhatIsNoFileWithAConfig) {
  PushedAdapters pushed(1 << 20);
  for (const std::string& body : {std::string(), std::string("abc"), std::string(8, '\xff') + "{}", std::string("\2\0\0\0\0\0\0\0[]", 10)})
    EXPECT_EQ(push_of(pushed, "rl", body).error().code, "E_SAFETENSORS");
  EXPECT_EQ(push_of(pushed, "rl", std::string("\2\0\0\0\0\0\0\0{}", 10)).error().code, "E_NO_CONFIG");
}

TEST(PushedAdapters, TakeOnePushOfANameAtATime) {
  const std::string body = pushed_file(small_lora());
  PushedAdapters pushed(1 << 20);
  std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
  const Result<std::shared_ptr<PushedAdapters::Push>> second = pushed.begin("rl");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "E_PUSH_UNDER_WAY");
  EXPECT_THAT(second.error().message, HasSubstr("\"rl\""));
  EXPECT_TRUE(pushed.begin("other"));
  const FolderPath folder = push->write(body).value();
  EXPECT_FALSE(pushed.begin("rl"));
  push.reset();  // as that of a read that was given up, once it has ended
  EXPECT_FALSE(std::filesystem::exists(folder.path));
  EXPECT_TRUE(push_of(pushed, "rl", body));
}

TEST(PushedAdapters, GiveNoMeaningToANameThatWasUnloadedMeanwhile) {
  const std::string body = pushed_file(small_lora());
  PushedAdapters pushed(1 << 20);
  const std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
  const FolderPath folder = push->write(body).value();
  EXPECT_TRUE(pushed.forget("rl", nothing_to_remove));
  bool was_installed = false;
  const Status kept = push->keep([&]() -> Status {
    was_installed = true;
    return {};
  });
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, "E_UNLOADED");
  EXPECT_FALSE(was_installed);
  EXPECT_FALSE(std::filesystem::exists(folder.path));
  EXPECT_TRUE(push_of(pushed, "rl", body)) << "the next one is new";
}

TEST(PushedAdapters, DoNotBeginWhileTheNameIsRemoved) {
  const std::string body = pushed_file(small_lora());
  PushedAdapters pushed(1 << 20);
  std::promise<void> asked, begun;
  std::future<void> has_begun = begun.get_future();
  std::thread other;
  std::optional<FolderPath> folder;
  EXPECT_TRUE(pushed.forget("rl", [&] {
    other = std::thread([&] {
      asked.set_value();
      const std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
      begun.set_value();
      folder = push->write(body).value();
      EXPECT_TRUE(push->keep([]() -> Status { return {}; }));
    });
    asked.get_future().wait();
    return has_begun.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout;
  })) << "a name that is removed would keep the new folder";
  other.join();
  EXPECT_TRUE(std::filesystem::exists(folder->path)) << "the name means it";
}

TEST(PushedAdapters, KeepNothingThatWasNotInstalled) {
  PushedAdapters pushed(1 << 20);
  const std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
  const FolderPath folder = push->write(pushed_file(small_lora())).value();
  EXPECT_EQ(push->keep([]() -> Status { return error("bad_name", "of this test"); }).error().code, "bad_name");
  EXPECT_FALSE(std::filesystem::exists(folder.path));
}

TEST(PushedAdapters, KeepNothingWhenInstallingFailsForLackOfMemory) {
  const std::string body = pushed_file(small_lora());
  PushedAdapters pushed(2 * body.size());  // for one of them
  std::shared_ptr<PushedAdapters::Push> push = pushed.begin("rl").value();
  const FolderPath folder = push->write(body).value();
  EXPECT_THROW((void)push->keep([]() -> Status { throw std::bad_alloc(); }), std::bad_alloc);
  push.reset();
  EXPECT_FALSE(std::filesystem::exists(folder.path));
  EXPECT_TRUE(push_of(pushed, "rl", body)) << "its bytes are free again";
}

}  // namespace
}  // namespace slora
