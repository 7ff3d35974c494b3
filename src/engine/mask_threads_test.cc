#include "engine/mask_threads.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <latch>
#include <semaphore>
#include <thread>

#include "base/caught.h"
#include "constraint/testing/scripted_constraint.h"

namespace slora {
namespace {

using State = TokenMask::State;

constexpr ClientId kQuick{1}, kSlow{2}, kSlowToo{3}, kSlowAsWell{4};

class MaskThreadsTest : public ::testing::Test {
 protected:
  // Lets calls that block return, before the threads are joined.
  ~MaskThreadsTest() override { let_go(); }

  MaskThreads& threads(MaskThreads::Options options = {.thread_count = 1}) {
    threads_ = std::make_unique<MaskThreads>(
        options, [this] { woken_.release(); }, seconds_);
    threads_->start();
    return *threads_;
  }
  std::shared_ptr<TokenMask> mask(std::function<Status(std::span<const TokenId>)> on_fill = {}, ClientId client = kQuick) {
    const ScriptedConstraint form({.allowed = [](auto tokens) { return std::vector<TokenId>{static_cast<TokenId>(tokens.size()) + 40}; },
                                   .is_complete = [](auto tokens) { return tokens.size() >= 2; },
                                   .on_fill = std::move(on_fill)});
    return std::make_shared<TokenMask>(form.start(), 3, client);
  }
  // Its fill() blocks until let_go().
  std::shared_ptr<TokenMask> blocked_mask(ClientId client = kSlow) {
    const auto block = [this](auto) {
      blocked_.release();
      is_free_.wait(false);
      return Status{};
    };
    return mask(block, client);
  }
  void let_go() {
    is_free_ = true;
    is_free_.notify_all();
  }
  static void wait_for(MaskThreads& threads, TokenMask& mask) {
    const std::array<TokenMask*, 1> masks = {&mask};
    while (mask.is_pending()) threads.wait(masks, std::chrono::seconds(1));
  }
  static Timestamp after(std::chrono::milliseconds time) { return SteadyClock().now() + time; }

  std::counting_semaphore<> blocked_{0}, woken_{0};
  std::atomic<bool> is_free_{false};
  const std::array<double, 1> bounds_ = {1.0};
  Histogram seconds_{bounds_};
  std::unique_ptr<MaskThreads> threads_;  // last: its threads use the others
};

TEST_F(MaskThreadsTest, GiveTheMaskThatFollowsATokenUntilTheFormIsComplete) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> mask = this->mask();
  threads.ask(mask);
  wait_for(threads, *mask);
  ASSERT_EQ(mask->state(), State::known);
  EXPECT_TRUE(std::ranges::equal(mask->words(), std::array{0u, 1u << 8, 0u}));
  threads.accept(mask, 40);
  wait_for(threads, *mask);
  ASSERT_EQ(mask->state(), State::unknown);
  threads.ask(mask);
  wait_for(threads, *mask);
  ASSERT_EQ(mask->state(), State::known);
  EXPECT_TRUE(std::ranges::equal(mask->words(), std::array{0u, 1u << 9, 0u}));
  threads.accept(mask, 41);
  wait_for(threads, *mask);
  EXPECT_EQ(mask->state(), State::complete);
  EXPECT_EQ(seconds_.counts()[0], 2u);
}

TEST_F(MaskThreadsTest, SayWhyThereIsNoMask) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> fails = mask([](auto) -> Status { return error("constraint_too_costly", "too many"); });
  const std::shared_ptr<TokenMask> throws = mask([](auto) -> Status { throw std::bad_alloc(); });
  const std::shared_ptr<TokenMask> violated = mask();
  threads.ask(fails);
  threads.ask(throws);
  threads.accept(violated, 7);
  const std::array<std::pair<TokenMask*, std::string>, 3> cases = {
      {{fails.get(), "constraint_too_costly"}, {throws.get(), "out_of_memory"}, {violated.get(), "constraint_violated"}}};
  for (const auto& [mask, code] : cases) {
    wait_for(threads, *mask);
    ASSERT_EQ(mask->state(), State::failed);
    EXPECT_EQ(mask->error().code, code);
  }
}

TEST_F(MaskThreadsTest, WakeWhoWatches) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> known = mask(), blocked = blocked_mask();
  threads.ask(known);
  wait_for(threads, *known);
  threads.watch(*known);  // in vain
  threads.ask(blocked);
  blocked_.acquire();
  threads.watch(*blocked);
  EXPECT_FALSE(woken_.try_acquire());
  let_go();
  woken_.acquire();
  EXPECT_EQ(blocked->state(), State::known);
}

TEST_F(MaskThreadsTest, ReplaceAThreadWhoseCallDoesNotReturn) {
  MaskThreads& threads = this->threads({.thread_count = 1, .slow_threads_max = 2});
  const std::shared_ptr<TokenMask> first = blocked_mask(), second = blocked_mask(kSlowToo), third = blocked_mask(kSlowAsWell),
                                   other = mask();
  for (const std::shared_ptr<TokenMask>& blocked : {first, second}) {
    threads.ask(blocked);
    blocked_.acquire();
    threads.replace_slow_threads(after(std::chrono::milliseconds(-1000)));  // not yet
    threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  }
  threads.ask(other);
  wait_for(threads, *other);
  EXPECT_EQ(other->state(), State::known);
  threads.ask(third);
  blocked_.acquire();
  threads.replace_slow_threads(after(std::chrono::milliseconds(200)));  // there may not be more
  threads.accept(other, 40);
  const std::array<TokenMask*, 1> masks = {other.get()};
  threads.wait(masks, std::chrono::milliseconds(20));
  EXPECT_EQ(other->state(), State::asked);
  EXPECT_FALSE(threads.wait_until_idle(std::chrono::milliseconds(1)));
  let_go();
  wait_for(threads, *other);
  EXPECT_TRUE(threads.wait_until_idle(std::chrono::seconds(60)));
}

TEST_F(MaskThreadsTest, LeaveThreadsToOthersWhenOneClientsCallsDoNotReturn) {
  MaskThreads& threads = this->threads({.thread_count = 2, .slow_threads_max = 4});
  std::vector<std::shared_ptr<TokenMask>> slow;
  for (int i = 0; i < 8; ++i) threads.ask(slow.emplace_back(blocked_mask()));
  const std::shared_ptr<TokenMask> other = mask();
  threads.ask(other);
  for (int i = 0; i < 2; ++i) blocked_.acquire();
  threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  const std::array<TokenMask*, 1> masks = {other.get()};
  threads.wait(masks, std::chrono::minutes(1));
  EXPECT_EQ(other->state(), State::known);
  EXPECT_FALSE(blocked_.try_acquire()) << "a third call of that client";
  let_go();
  for (const std::shared_ptr<TokenMask>& mask : slow) wait_for(threads, *mask);
  EXPECT_EQ(slow.back()->state(), State::known);
}

TEST_F(MaskThreadsTest, GoOnForTheOthersOfAClientThatIsAlone) {
  MaskThreads& threads = this->threads({.thread_count = 1, .slow_threads_max = 6});
  std::vector<std::shared_ptr<TokenMask>> slow;
  for (int i = 0; i < 2; ++i) {
    threads.ask(slow.emplace_back(blocked_mask()));
    blocked_.acquire();
    threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  }
  const std::shared_ptr<TokenMask> of_same = mask({}, kSlow);
  threads.ask(of_same);
  wait_for(threads, *of_same);
  EXPECT_EQ(of_same->state(), State::known);
  for (int i = 0; i < 2; ++i) threads.ask(slow.emplace_back(blocked_mask()));
  blocked_.acquire();
  threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  const std::shared_ptr<TokenMask> other = mask();
  threads.ask(other);
  wait_for(threads, *other);
  EXPECT_FALSE(blocked_.try_acquire()) << "a fourth call: half of the slow threads are for others";
}

TEST_F(MaskThreadsTest, HaveAllIdleThreadsGoOnOnceAClientIsAloneAgain) {
  MaskThreads& threads = this->threads({.thread_count = 2, .slow_threads_max = 8});
  std::vector<std::shared_ptr<TokenMask>> slow;
  for (int i = 0; i < 2; ++i) threads.ask(slow.emplace_back(blocked_mask()));
  for (int i = 0; i < 2; ++i) blocked_.acquire();
  threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  std::latch is_begun(1), may_end(1);
  const std::shared_ptr<TokenMask> other = mask([&](auto) {
    is_begun.count_down();
    may_end.wait();
    return Status{};
  });
  threads.ask(other);
  is_begun.wait();
  for (int i = 0; i < 2; ++i) threads.ask(slow.emplace_back(blocked_mask()));
  const std::array<TokenMask*, 1> masks = {slow.back().get()};
  threads.wait(masks, std::chrono::milliseconds(20));
  EXPECT_FALSE(blocked_.try_acquire()) << "a third call next to another client";
  may_end.count_down();
  for (int i = 0; i < 2; ++i) blocked_.acquire();
}

TEST_F(MaskThreadsTest, ReplaceAThreadThatDestroysAConstraintForLong) {
  MaskThreads& threads = this->threads();
  std::latch is_dropped(1);
  {
    const std::shared_ptr<void> blocks_when_destroyed(nullptr, [this](void*) {
      blocked_.release();
      is_free_.wait(false);
    });
    const std::shared_ptr<TokenMask> dropped = mask([this, &is_dropped, blocks_when_destroyed](auto) {
      blocked_.release();
      is_dropped.wait();
      return Status{};
    });
    threads.ask(dropped);
    blocked_.acquire();
  }
  is_dropped.count_down();
  blocked_.acquire();
  const std::shared_ptr<TokenMask> waiting = mask({}, kSlowToo);
  threads.ask(waiting);
  threads.replace_slow_threads(after(std::chrono::milliseconds(200)));
  const std::array<TokenMask*, 1> masks = {waiting.get()};
  threads.wait(masks, std::chrono::minutes(1));
  EXPECT_EQ(waiting->state(), State::known);
  EXPECT_FALSE(threads.wait_until_idle(std::chrono::milliseconds(1))) << "one still destroys";
}

TEST_F(MaskThreadsTest, SayWhichMasksHaveTakenTooLong) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> blocked = blocked_mask(), waiting = mask();
  threads.ask(blocked);
  blocked_.acquire();
  threads.ask(waiting);
  EXPECT_FALSE(threads.has_overrun(*blocked, after(std::chrono::milliseconds(500))));
  EXPECT_TRUE(threads.has_overrun(*blocked, after(std::chrono::milliseconds(2500))));
  EXPECT_FALSE(threads.has_overrun(*waiting, after(std::chrono::milliseconds(2500)))) << "no thread has begun it";
  EXPECT_TRUE(threads.has_overrun(*waiting, after(std::chrono::milliseconds(10500))));
  let_go();
  wait_for(threads, *waiting);
  EXPECT_FALSE(threads.has_overrun(*waiting, after(std::chrono::milliseconds(10500))));
}

TEST_F(MaskThreadsTest, ComputeNothingForSequencesThatHaveEnded) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> blocked = blocked_mask(), last = mask();
  threads.ask(blocked);
  blocked_.acquire();
  std::atomic<bool> is_asked = false;
  threads.ask(mask([&](auto) {
    is_asked = true;
    return Status{};
  }));
  threads.ask(last);
  let_go();
  wait_for(threads, *last);
  EXPECT_FALSE(is_asked);
}

TEST_F(MaskThreadsTest, DestroyTheMasksOfSequencesThatHaveEnded) {
  MaskThreads& threads = this->threads({.thread_count = 2});
  std::promise<std::thread::id> destroyed;
  {
    std::shared_ptr<void> says_who_destroys_it(nullptr, [&](void*) { destroyed.set_value(std::this_thread::get_id()); });
    std::shared_ptr<TokenMask> known = mask([held = std::move(says_who_destroys_it)](auto) { return Status{}; });
    threads.ask(known);
    wait_for(threads, *known);
    ASSERT_TRUE(threads.wait_until_idle(std::chrono::minutes(1)));
    threads.drop(std::move(known));
  }
  EXPECT_NE(destroyed.get_future().get(), std::this_thread::get_id());
  std::shared_ptr<TokenMask> blocked = blocked_mask();
  threads.ask(blocked);
  blocked_.acquire();
  threads.drop(std::move(blocked));  // the thread has it
  let_go();
  EXPECT_TRUE(threads.wait_until_idle(std::chrono::minutes(1)));
}

TEST_F(MaskThreadsTest, DropWhatWaitsWhenTheyEnd) {
  MaskThreads& threads = this->threads();
  const std::shared_ptr<TokenMask> blocked = blocked_mask();
  threads.ask(blocked);
  blocked_.acquire();
  for (int i = 0; i < 100'000; ++i) threads.ask(mask());  // deep enough for a destructor of each within that of the one before
  let_go();
  threads_.reset();
}

}  // namespace
}  // namespace slora
