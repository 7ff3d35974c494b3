#include "http/adapter_scans.h"

#include <gtest/gtest.h>

#include <chrono>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

// Two roots, of which one may hang; the I/O thread is the test's.
class AdapterScansTest : public ::testing::Test {
 protected:
  AdapterScansTest() {
    scans.emplace(
        store, std::vector{slow.path(), fast.path()}, std::chrono::milliseconds(5), folders,
        [this](std::function<void()> work) { post({}, std::move(work)); },
        [this](std::chrono::milliseconds delay, std::function<void()> work) { post(delay, std::move(work)); });
  }
  ~AdapterScansTest() override { folders.mend(); }

  void post(std::chrono::milliseconds delay, std::function<void()> work) {
    const std::lock_guard lock(mutex);
    posted.emplace_back(std::chrono::steady_clock::now() + delay, std::move(work));
  }
  // Runs the I/O thread until that is so, for ten seconds at most.
  template <class Condition>
  bool comes_true(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition() && std::chrono::steady_clock::now() < limit) {
      std::list<std::pair<std::chrono::steady_clock::time_point, std::function<void()>>> due;
      {
        const std::lock_guard lock(mutex);
        const auto now = std::chrono::steady_clock::now();
        for (auto at = posted.begin(); at != posted.end();) {
          const auto next = std::next(at);
          if (at->first <= now) due.splice(due.end(), posted, at);
          at = next;
        }
      }
      for (const auto& [time, work] : due) work();
      std::this_thread::yield();
    }
    return condition();
  }

  const TemporaryFolder slow, fast;
  ScriptedFolders folders;
  AdapterStore store{test_base(), kLookAlways, folders};
  std::mutex mutex;
  std::list<std::pair<std::chrono::steady_clock::time_point, std::function<void()>>> posted;  // guarded by mutex
  std::optional<AdapterScans> scans;
};

TEST_F(AdapterScansTest, ARootThatHangsHoldsUpNoOther) {
  folders.hang(slow.path());
  ASSERT_TRUE(comes_true([&] { return scans->is_reading(); }));
  small_lora().write(slow.file("late"));
  small_lora().write(fast.file("early"));
  EXPECT_TRUE(comes_true([&] { return store.find("early").has_value(); }));
  std::filesystem::remove_all(fast.file("early"));
  EXPECT_TRUE(comes_true([&] { return !store.find("early").has_value(); }));
  EXPECT_FALSE(store.find("late"));
  folders.mend();
  EXPECT_TRUE(comes_true([&] { return store.find("late").has_value(); }));
}

}  // namespace
}  // namespace slora
