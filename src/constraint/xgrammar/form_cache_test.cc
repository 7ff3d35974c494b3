#include "constraint/xgrammar/form_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/allocation_failure.h"
#include "constraint/xgrammar/form_library.h"

namespace slora {
namespace {

using SharedForm = FormCache::SharedForm;

constexpr ClientId kClient{1}, kOther{2};

const xgrammar::CompiledGrammar& grammar() {
  static const xgrammar::CompiledGrammar compiled =
      compile_form({.kind = ConstraintKind::regex, .text = "a+"}, tokenizer_info_of({{"a", "b"}, {}}, KnownTexts::all)).value();
  return compiled;
}

// The form of this key, of a given number of bytes.
Result<SharedForm> form(FormCache& cache, const std::string& key, std::size_t bytes = 1, ClientId client = kClient) {
  return cache.find_or_compile(key, client, [&]() -> Result<SharedForm> {
    Result<FormPlace> place = cache.take_place(client, bytes);
    if (!place) return tl::unexpected<Error>(place.error());
    return std::make_shared<const CompiledForm>(CompiledForm{std::move(*place), grammar()});
  });
}

// Most likely until threads that are about to ask for the same form wait for it.
void let_others_run() {
  for (int i = 0; i < 100; ++i) std::this_thread::yield();
}

TEST(FormCache, KeepsFormsAndNoErrors) {
  FormCache cache({});
  EXPECT_FALSE(cache.find_or_compile("a", kClient, []() -> Result<SharedForm> { return error("bad_constraint", "no form"); }));
  EXPECT_EQ(cache.find("a"), nullptr);
  const SharedForm made = form(cache, "a").value();
  EXPECT_EQ(cache.find("a"), made);
  EXPECT_EQ(form(cache, "a").value(), made);
}

TEST(FormCache, CompilesAFormOfManyThreadsOnce) {
  FormCache cache({});
  std::atomic<int> compiled = 0, asking = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ++asking;
      EXPECT_TRUE(cache.find_or_compile("a", kClient, [&]() -> Result<SharedForm> {
        ++compiled;
        while (asking < 4) std::this_thread::yield();
        return std::make_shared<const CompiledForm>(CompiledForm{{}, grammar()});
      }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compiled, 1);
}

TEST(FormCache, DropsTheLeastRecentlyUsedBeyondItsCount) {
  FormCache cache({.forms_max = 2});
  (void)form(cache, "a");
  (void)form(cache, "b");
  EXPECT_NE(cache.find("a"), nullptr);
  (void)form(cache, "c");
  EXPECT_NE(cache.find("a"), nullptr);
  EXPECT_EQ(cache.find("b"), nullptr);
  EXPECT_NE(cache.find("c"), nullptr);
}

TEST(FormCache, DropsUnusedFormsForNewOnes) {
  FormCache cache({.bytes_max = 100});
  const SharedForm used = form(cache, "used", 20).value();
  (void)form(cache, "unused", 20);
  ASSERT_TRUE(form(cache, "new", 25)) << "the client's share is half";
  EXPECT_EQ(cache.find("unused"), nullptr);
  EXPECT_EQ(cache.find("used"), used);
}

TEST(FormCache, RefusesFormsWhileOthersAreInUse) {
  FormCache cache({.bytes_max = 100});
  std::vector<SharedForm> used;
  used.push_back(form(cache, "a", 50).value());
  const Result<SharedForm> second = form(cache, "b", 1);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "constraints_busy");
  EXPECT_NE(second.error().message.find("your other answers"), std::string::npos) << second.error().message;
  used.push_back(form(cache, "c", 25, kOther).value());  // another client has its part
  const Result<SharedForm> large = form(cache, "d", 40, kOther);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "constraints_busy");
  used.clear();
  EXPECT_TRUE(form(cache, "d", 40, kOther));
}

TEST(FormCache, DropsNothingForAFormThatNeverFits) {
  FormCache cache({.bytes_max = 100});
  (void)form(cache, "unused", 20, kOther);
  const Result<SharedForm> large = form(cache, "large", 51);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "constraint_too_costly");
  EXPECT_NE(large.error().message.find("51 bytes of memory; expected at most 50"), std::string::npos) << large.error().message;
  EXPECT_NE(cache.find("unused"), nullptr);
}

TEST(FormCache, DropsNothingWhereThatIsNotEnough) {
  FormCache cache({.bytes_max = 100});
  const SharedForm used = form(cache, "used", 40).value();
  (void)form(cache, "unused", 20, kOther);
  const Result<SharedForm> large = form(cache, "large", 11);  // its client would have more than half
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "constraints_busy");
  EXPECT_NE(cache.find("unused"), nullptr);
}

TEST(FormCache, DropsTheClientsOwnUnusedFormsThenThoseOfOthers) {
  FormCache cache({.bytes_max = 100});
  (void)form(cache, "other's", 25, kOther);
  const SharedForm used = form(cache, "used", 20).value();
  (void)form(cache, "own", 10);
  ASSERT_TRUE(form(cache, "new", 15)) << "its share is half of the 75 bytes that others leave";
  EXPECT_EQ(cache.find("own"), nullptr);
  EXPECT_NE(cache.find("other's"), nullptr);
  ASSERT_TRUE(form(cache, "more", 30)) << "its share is half of all";
  EXPECT_EQ(cache.find("new"), nullptr);
  EXPECT_EQ(cache.find("other's"), nullptr);
  EXPECT_EQ(cache.find("used"), used);
}

TEST(FormCache, LetsAClientThatWaitedCompileWhatAnotherHadNoShareFor) {
  FormCache cache({.bytes_max = 100});
  const SharedForm used = form(cache, "used", 50).value();
  std::atomic<int> begun = 0, waiting = 0, compiled_for_other = 0;
  const auto refused = [&]() -> Result<SharedForm> {
    ++begun;
    while (waiting < 2) std::this_thread::yield();
    let_others_run();
    return tl::unexpected<Error>(cache.take_place(kClient, 25).error());
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_EQ(cache.find_or_compile("a", kClient, refused).error().code, "constraints_busy"); });
  while (begun < 1) std::this_thread::yield();
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      ++waiting;
      EXPECT_TRUE(cache.find_or_compile("a", kOther, [&]() -> Result<SharedForm> {
        ++compiled_for_other;
        return std::make_shared<const CompiledForm>(CompiledForm{cache.take_place(kOther, 25).value(), grammar()});
      }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compiled_for_other, 1);
  EXPECT_EQ(begun, 1);
}

TEST(FormCache, CountsFormsThatItHasDroppedUntilNoAnswerHasThem) {
  FormCache cache({.forms_max = 1, .bytes_max = 100});
  SharedForm used = form(cache, "a", 50).value();
  (void)form(cache, "b", 20, kOther);
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_FALSE(form(cache, "c", 50));
  used.reset();
  EXPECT_TRUE(form(cache, "c", 50));
}

TEST(FormCache, LeavesNobodyWaitingWhenMemoryRunsOut) {
  (void)grammar();
  bool has_failed = true;
  for (std::size_t first = 1; has_failed; ++first) {
    FormCache cache({});
    std::thread waiting;
    const auto compile = [&]() -> Result<SharedForm> {
      {
        const ExemptFromFailures exempt;
        waiting = std::thread([&] {
          const ExemptFromFailures also;
          EXPECT_NO_THROW((void)form(cache, "a"));
        });
        let_others_run();
      }
      return std::make_shared<const CompiledForm>(CompiledForm{{}, grammar()});
    };
    fail_allocations(first, 1);
    try {
      (void)cache.find_or_compile("a", kClient, compile);
    } catch (const std::bad_alloc&) {
    }
    has_failed = end_failures() >= first;
    if (waiting.joinable()) waiting.join();
    EXPECT_TRUE(form(cache, "a")) << first;
    ASSERT_LT(first, 1000u);
  }
}

TEST(FormCache, FormsMayOutliveIt) {
  auto cache = std::make_unique<FormCache>(FormCache::Limits{});
  const SharedForm used = form(*cache, "a", 50).value();
  cache.reset();
  EXPECT_EQ(used->place.held.bytes(), 50u);
}

}  // namespace
}  // namespace slora
