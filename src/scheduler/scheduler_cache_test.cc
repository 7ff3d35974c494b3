// Prefixes and adapters in the pool, as the scheduler uses them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::IsEmpty;

TEST(SchedulerCaches, ReadsCachedPrefixesButAlwaysComputesTheLastToken) {
  Play play(small_options());
  ASSERT_TRUE(play.add(play.request(1, {1, 2, 3, 4, 5, 6, 7, 8}, 1)));
  play.step();
  ASSERT_TRUE(play.add(play.request(2, {1, 2, 3, 4, 5, 6, 7, 8}, 1)));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 4}}));
  EXPECT_EQ(play.latest.spans[0].position_begin, 4);
  ASSERT_TRUE(play.add(play.request(3, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1)));
  play.schedule();
  EXPECT_EQ(play.spans(), (Spans{{3, 1}}));
  EXPECT_EQ(play.scheduler.cached_tokens(SequenceId{3}), 8);
  play.commit();
  EXPECT_EQ(play.scheduler.stats().prefix_hit_tokens, 12u);
}

TEST(SchedulerCaches, ReadsWhatAnotherRequestGenerated) {
  Play play(small_options());
  ASSERT_TRUE(play.add(play.request(1, {1, 2, 3, 4}, 6)));  // generates sevens
  play.run_dry();
  ASSERT_TRUE(play.add(play.request(2, {1, 2, 3, 4, 7, 7, 7, 7, 7, 7, 9}, 1)));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 3}}));
}

TEST(SchedulerCaches, SharesPrefixesNeitherBetweenTenantsNorAdaptersNorWithWriters) {
  Play play(small_options());
  ASSERT_TRUE(play.add(play.request(1, {1, 2, 3, 4, 5}, 1)));
  play.step();
  SequenceRequest other_tenant = play.request(2, {1, 2, 3, 4, 5}, 1);
  other_tenant.tenant = TenantId{2};
  SequenceRequest wants_logits = play.request(3, {1, 2, 3, 4, 5}, 1);
  wants_logits.prompt_use = PromptUse::scored;
  SequenceRequest adapted = play.request(4, {1, 2, 3, 4, 5}, 1);
  adapted.adapter = AdapterId{5};
  adapted.adapter_page_count = 1;
  ASSERT_TRUE(play.add(other_tenant));
  ASSERT_TRUE(play.add(wants_logits));
  ASSERT_TRUE(play.add(adapted));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 5}, {3, 5}}));
  play.scheduler.adapter_landed(AdapterId{5});
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{4, 5}}));
}

TEST(SchedulerCaches, AnAdapterThatActsLateReadsTheBasesPrefix) {
  Play play(small_options());
  ASSERT_TRUE(play.add(play.request(1, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1)));
  play.step();
  SequenceRequest late = play.request(2, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 4);
  late.adapter = AdapterId{5};
  late.adapter_page_count = 1;
  late.adapter_begin = 6;
  ASSERT_TRUE(play.add(late));
  play.step();
  play.scheduler.adapter_landed(AdapterId{5});
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 6}}));
  EXPECT_EQ(play.latest.spans[0].position_begin, 4);
  EXPECT_EQ(play.latest.spans[0].adapter_begin, 6);
  play.run_dry();
  EXPECT_EQ(play.scheduler.pages_of_adapter(AdapterId{5}), 3u) << "its image, and the pages from 4 and from 8 on";
  play.scheduler.retire_adapter(AdapterId{5});
  EXPECT_EQ(play.scheduler.pages_of_adapter(AdapterId{5}), 0u);
  ASSERT_TRUE(play.add(play.request(3, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1)));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{3, 1}})) << "the base's prefix is still there";
}

// Positions that are scored, of sequence 1 in every plan.
std::vector<std::pair<std::int32_t, std::int32_t>> scores_until_the_end(Play& play) {
  std::vector<std::pair<std::int32_t, std::int32_t>> scores;
  while (play.live_count() > 0) {
    play.step();
    for (const PlannedSpan& span : play.latest.spans)
      if (span.sequence.value == 1 && span.scored_count > 0) scores.emplace_back(span.scored_begin, span.scored_count);
  }
  return scores;
}

TEST(SchedulerCaches, ScoresAPromptOnceWhateverIsCachedAndHoweverItIsCut) {
  SchedulerOptions options = small_options();
  options.step_tokens_max = 3;
  Play play(options);
  ASSERT_TRUE(play.add(play.request(2, {1, 2, 3, 4, 5, 6, 7, 8}, 1)));
  play.run_dry();
  SequenceRequest scored = play.request(1, {1, 2, 3, 4, 5, 6, 7, 8}, 3);
  scored.prompt_use = PromptUse::scored;
  ASSERT_TRUE(play.add(scored));
  EXPECT_EQ(scores_until_the_end(play), (std::vector<std::pair<std::int32_t, std::int32_t>>{{0, 3}, {3, 3}, {6, 1}}));
}

TEST(SchedulerCaches, ScoresOneTokenPromptsAndOrdinaryOnesNever) {
  Play play(small_options());
  SequenceRequest scored = play.request(1, {1}, 3);
  scored.prompt_use = PromptUse::scored;
  ASSERT_TRUE(play.add(scored));
  EXPECT_TRUE(scores_until_the_end(play).empty());
  Play other(small_options());
  ASSERT_TRUE(other.add(other.request(1, {1, 2, 3, 4, 5, 6}, 3)));
  EXPECT_TRUE(scores_until_the_end(other).empty());
}

TEST(SchedulerCaches, CachesNothingOfAFailedSequence) {
  Play play(small_options());
  ASSERT_TRUE(play.add(play.request(1, {1, 2, 3, 4, 5}, 9)));
  play.step();
  EXPECT_EQ(play.scheduler.stats().pages_prefix, 1u);
  play.step({{1, RowOutcome::failed}});
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::failed}}));
  EXPECT_EQ(play.scheduler.stats().pages_free, 16u);
}

TEST(SchedulerCaches, NeverEvictsAnAdapterInUse) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 20, 5, 6));
  play.step();
  play.scheduler.adapter_landed(AdapterId{5});
  play.step();
  ASSERT_TRUE(play.add(2, 4, 4, 6, 12));  // fits the empty pool, not next to the other
  for (int step = 0; step < 18; ++step) {
    play.step();
    EXPECT_THAT(play.latest.loads, IsEmpty());
    EXPECT_EQ(play.scheduler.stats().adapter_evictions, 0u);
  }
  play.step();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}}));
  play.step();
  EXPECT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.scheduler.stats().adapter_evictions, 1u);
}

TEST(SchedulerCaches, CountsAdmissionsWhoseAdapterWasResident) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 2, 5, 2));  // loads it
  ASSERT_TRUE(play.add(2, 4, 2, 5, 2));  // waits for that load
  play.step();
  play.scheduler.adapter_landed(AdapterId{5});
  play.run_dry();
  EXPECT_EQ(play.scheduler.stats().adapter_queries, 2u);
  EXPECT_EQ(play.scheduler.stats().adapter_hits, 0u);
  ASSERT_TRUE(play.add(3, 4, 2, 5, 2));
  ASSERT_TRUE(play.add(4, 4, 2));
  play.run_dry();
  EXPECT_EQ(play.scheduler.stats().adapter_queries, 3u) << "not of the base model";
  EXPECT_EQ(play.scheduler.stats().adapter_hits, 1u);
}

TEST(SchedulerCaches, LoadsAheadForTheNextInLine) {
  SchedulerOptions options = small_options();
  options.running_max = 1;
  Play play(options);
  ASSERT_TRUE(play.add(1, 4, 6));
  ASSERT_TRUE(play.add(2, 4, 4, 5, 2));
  play.step();
  ASSERT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.latest.loads[0].adapter, AdapterId{5});
  EXPECT_EQ(play.scheduler.stats().running, 1u);
  play.scheduler.adapter_landed(AdapterId{5});
  while (play.take_ended().empty()) play.step();
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 4}}));  // no step is lost to the load
}

TEST(SchedulerCaches, LoadsNothingAheadWhereThatIsOff) {
  SchedulerOptions options = small_options();
  options.running_max = 1;
  options.prefetched_sequences = 0;
  Play play(options);
  ASSERT_TRUE(play.add(1, 4, 2));
  ASSERT_TRUE(play.add(2, 4, 4, 5, 2));
  while (play.take_ended().empty()) {
    play.step();
    EXPECT_THAT(play.latest.loads, IsEmpty());
  }
  play.step();
  EXPECT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.scheduler.stats().adapter_prefetches, 0u);
}

TEST(SchedulerCaches, RefusesWhatFitsNoneOfTheSeparatePages) {
  SchedulerOptions options = small_options();
  options.adapter_pages_separate = 4;
  Play play(options);
  EXPECT_FALSE(play.add(1, 4, 4, 5, 5));
  EXPECT_FALSE(play.add(2, 45, 4));
  EXPECT_TRUE(play.add(3, 44, 4, 5, 4));
  play.run_dry();
}

TEST(SchedulerCaches, LoadsAPinnedAdapterAndKeepsItUntilItIsUnpinned) {
  SchedulerOptions options = small_options();
  options.sequence_tokens_max = 40;
  Play play(options);
  ASSERT_TRUE(play.scheduler.pin_adapter(AdapterId{5}, 4));
  play.step();
  ASSERT_EQ(play.latest.loads.size(), 1u);
  play.scheduler.adapter_landed(AdapterId{5});
  EXPECT_EQ(play.scheduler.stats().pages_pinned, 4u);
  ASSERT_TRUE(play.add(1, 40, 8));  // all of the rest
  play.run_dry();
  EXPECT_EQ(play.scheduler.pages_of_adapter(AdapterId{5}), 4u);
  EXPECT_FALSE(play.add(2, 41, 8)) << "does not fit next to the pinned one";
  ASSERT_TRUE(play.add(3, 40, 8, 5, 4));
  play.run_dry();
  play.scheduler.unpin_adapter(AdapterId{5});
  ASSERT_TRUE(play.add(4, 60, 4));
  play.run_dry();
  EXPECT_EQ(play.scheduler.stats().adapter_evictions, 1u);
}

TEST(SchedulerCaches, RefusesPinsThatLeaveTooFewPages) {
  SchedulerOptions options = small_options();
  options.sequence_tokens_max = 40;
  Play play(options);
  EXPECT_EQ(play.scheduler.pin_adapter(AdapterId{5}, 7).error().code, "pin_does_not_fit");
  ASSERT_TRUE(play.add(1, 40, 16, 7, 2));  // the whole pool
  EXPECT_EQ(play.scheduler.pin_adapter(AdapterId{5}, 1).error().code, "pin_does_not_fit");
  EXPECT_TRUE(play.scheduler.pin_adapter(AdapterId{7}, 2)) << "its pages count once";
  play.run_dry();
  EXPECT_TRUE(play.scheduler.pin_adapter(AdapterId{5}, 1));
}

TEST(SchedulerCaches, AdmitsNobodyWhileAPinnedAdapterWaitsForPages) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 20, 4));
  ASSERT_TRUE(play.add(2, 20, 4));
  play.step();
  play.step();
  ASSERT_EQ(play.scheduler.stats().running, 2u);
  ASSERT_TRUE(play.scheduler.pin_adapter(AdapterId{5}, 6));
  ASSERT_TRUE(play.add(3, 4, 4));  // would fit
  while (play.take_ended().empty()) {
    play.step();
    EXPECT_THAT(play.latest.loads, IsEmpty());
    EXPECT_EQ(play.scheduler.stats().waiting, 1u);
  }
  play.step();
  ASSERT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.scheduler.stats().waiting, 0u);
  play.scheduler.adapter_failed(AdapterId{5});
  EXPECT_EQ(play.scheduler.stats().adapters_pinned, 0u) << "a pin ends with its load";
  play.run_dry();
}

TEST(SchedulerCaches, LoadsNothingAheadWhileAPinnedAdapterWaitsForPages) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 20, 4));
  ASSERT_TRUE(play.add(2, 20, 4));
  play.step();
  play.step();
  ASSERT_EQ(play.scheduler.stats().running, 2u);
  ASSERT_TRUE(play.scheduler.pin_adapter(AdapterId{5}, 6));
  ASSERT_TRUE(play.add(3, 4, 4, 6, 1));  // there are pages for this one
  while (play.take_ended().empty()) {
    play.step();
    EXPECT_THAT(play.latest.loads, IsEmpty());
  }
  play.step();
  ASSERT_FALSE(play.latest.loads.empty());
  EXPECT_EQ(play.latest.loads.front().adapter, AdapterId{5});
  for (const AdapterLoad& load : play.latest.loads) play.scheduler.adapter_landed(load.adapter);
  play.run_dry();
}

TEST(SchedulerCaches, KeepsARetiredAdapterForThoseWhoNamedIt) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 3, 5, 2));
  play.step();
  play.scheduler.adapter_landed(AdapterId{5});
  play.step();
  play.scheduler.retire_adapter(AdapterId{5});
  EXPECT_EQ(play.scheduler.pages_of_adapter(AdapterId{5}), 3u);  // its image and a prefix
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}}));
  EXPECT_EQ(play.scheduler.pages_of_adapter(AdapterId{5}), 0u);
  EXPECT_EQ(play.scheduler.stats().pages_free, 16u);
}

}  // namespace
}  // namespace slora
