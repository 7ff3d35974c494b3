#include "constraint/xgrammar/form_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
  return cache.find_or_compile(key, [&]() -> Result<SharedForm> {
    Result<FormPlace> place = cache.take_place(client, bytes);
    if (!place) return tl::unexpected<Error>(place.error());
    return std::make_shared<const CompiledForm>(CompiledForm{std::move(*place), grammar()});
  });
}

TEST(FormCache, KeepsFormsAndNoErrors) {
  FormCache cache({});
  EXPECT_FALSE(cache.find_or_compile("a", []() -> Result<SharedForm> { return error("bad_constraint", "no form"); }));
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
      EXPECT_TRUE(cache.find_or_compile("a", [&]() -> Result<SharedForm> {
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

TEST(FormCache, CountsFormsThatItHasDroppedUntilNoAnswerHasThem) {
  FormCache cache({.forms_max = 1, .bytes_max = 100});
  SharedForm used = form(cache, "a", 50).value();
  (void)form(cache, "b", 20, kOther);
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_FALSE(form(cache, "c", 50));
  used.reset();
  EXPECT_TRUE(form(cache, "c", 50));
}

TEST(FormCache, FormsMayOutliveIt) {
  auto cache = std::make_unique<FormCache>(FormCache::Limits{});
  const SharedForm used = form(*cache, "a", 50).value();
  cache.reset();
  EXPECT_EQ(used->place.held.bytes(), 50u);
}

}  // namespace
}  // namespace slora
