#include "engine/batch_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::ElementsAre;

// A plan of three spans: base [2 tokens, no output], adapter 7 [1 token], base [1 token], adapter 7 [2 tokens].
class BatchBuilderTest : public ::testing::Test {
 protected:
  BatchBuilderTest() {
    view_.z_cols_max = 24;
    view_.sites.resize(site_count(1));
    add(1, kNoAdapter, 4, {10, 11}, -1);
    add(2, AdapterId{7}, 9, {20}, 0);
    add(3, kNoAdapter, 0, {30}, 1);
    add(4, AdapterId{7}, 2, {40, 41}, 2);
    plan_.output_row_count = 3;
  }
  void add(std::uint64_t sequence, AdapterId adapter, std::int32_t position, const std::vector<TokenId>& tokens, std::int32_t output_row) {
    plan_.spans.push_back({SequenceId{sequence}, adapter, position, static_cast<std::int32_t>(plan_.tokens.size()),
                           static_cast<std::int32_t>(tokens.size()), static_cast<std::int32_t>(plan_.pages.size()), 1, output_row});
    for (const TokenId token : tokens) plan_.tokens.push_back({token, -1});
    plan_.pages.push_back(PageIndex{static_cast<std::uint32_t>(sequence)});
  }
  const ForwardBatch& build(std::size_t block_rows = 100) {
    return builder_.build(
        plan_, [&](AdapterId) { return &view_; }, block_rows);
  }

  AdapterView view_;
  StepPlan plan_;
  BatchBuilder builder_;
};

TEST_F(BatchBuilderTest, PutsRowsOfOneAdapterTogetherInOneSegment) {
  const ForwardBatch& batch = build();
  EXPECT_THAT(batch.tokens.host, ElementsAre(10, 11, 30, 20, 40, 41));
  EXPECT_THAT(batch.rope_rows.host, ElementsAre(4, 5, 0, 9, 2, 3));
  ASSERT_EQ(batch.adapters.segments.size(), 1u);
  EXPECT_EQ(batch.adapters.segments.host[0].row_begin, 3);
  EXPECT_EQ(batch.adapters.segments.host[0].row_count, 3);
  EXPECT_EQ(batch.adapters.segments.host[0].adapter, &view_);
  EXPECT_EQ(batch.adapters.z_cols, 24);
}

TEST_F(BatchBuilderTest, CountsRowsOfTheRopeTableFromTheAdaptersPart) {
  view_.rope_begin = 1000;
  const ForwardBatch& batch = build();
  EXPECT_THAT(batch.rope_rows.host, ElementsAre(4, 5, 0, 1009, 1002, 1003));
  EXPECT_EQ(batch.spans.spans.host[2].position_begin, 9) << "attention goes by positions";
}

TEST_F(BatchBuilderTest, KeepsOutputRowsInThePlansOrder) {
  (void)build();
  ASSERT_EQ(builder_.output_blocks().size(), 1u);
  EXPECT_THAT(builder_.output_blocks()[0].rows.host, ElementsAre(3, 2, 5));
}

TEST_F(BatchBuilderTest, PutsTheRowsThatScorePromptsBehindTheOutputRows) {
  plan_.spans[3].scored_begin = 2;
  plan_.spans[3].scored_count = 1;
  plan_.spans[0].scored_begin = 5;  // position 4 was scored in a step before
  plan_.spans[0].scored_count = 1;
  (void)build(2);
  ASSERT_EQ(builder_.output_blocks().size(), 3u);
  EXPECT_THAT(builder_.output_blocks()[0].rows.host, ElementsAre(3, 2));
  EXPECT_THAT(builder_.output_blocks()[1].rows.host, ElementsAre(5, 1));
  EXPECT_THAT(builder_.output_blocks()[2].rows.host, ElementsAre(4));
}

TEST_F(BatchBuilderTest, GivesEverySpanItsOwnPages) {
  const ForwardBatch& batch = build();
  const std::span<const SpanView> spans = batch.spans.spans.host;
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(spans[1].row_begin, 2);
  EXPECT_EQ(batch.spans.pages_of(spans[1])[0], PageIndex{3});
  EXPECT_EQ(spans[3].position_begin, 2);
}

TEST_F(BatchBuilderTest, GivesTheHeadSegmentsOfAdaptersThatChangeIt) {
  (void)build();
  EXPECT_TRUE(builder_.output_blocks()[0].adapters.segments.empty());
  view_.records.resize(1);
  view_.sites[index_of(kHeadSite)] = {0, 1, 4};
  plan_.spans[3].scored_begin = 2;
  plan_.spans[3].scored_count = 1;
  (void)build();
  const OutputBlock& whole = builder_.output_blocks()[0];
  ASSERT_EQ(whole.adapters.segments.size(), 2u);  // rows 0, 2 and 3 are the adapter's, 1 is the base's
  EXPECT_EQ(whole.adapters.segments.host[0].row_begin, 0);
  EXPECT_EQ(whole.adapters.segments.host[1].row_begin, 2);
  EXPECT_EQ(whole.adapters.segments.host[1].row_count, 2);
  EXPECT_EQ(whole.adapters.z_cols, 24);
  (void)build(2);
  const OutputBlock& rest = builder_.output_blocks()[1];
  ASSERT_EQ(rest.adapters.segments.size(), 1u);
  EXPECT_EQ(rest.adapters.segments.host[0].row_begin, 0);
  EXPECT_EQ(rest.adapters.segments.host[0].row_count, 2);
}

TEST_F(BatchBuilderTest, AsksForNoLogitsOfChunksThatEndBeforeTheirPrompts) {
  plan_.clear();
  add(1, kNoAdapter, 0, {1, 2, 3}, -1);
  add(2, AdapterId{7}, 4, {5, 6}, -1);
  (void)build();
  EXPECT_TRUE(builder_.output_blocks().empty());
}

// Rows of positions before the one where an adapter begins are the base's.
TEST_F(BatchBuilderTest, LeavesToTheBaseWhatComesBeforeAnAdapterBegins) {
  plan_.clear();
  add(1, AdapterId{7}, 0, {10, 11, 12}, 0);  // from position 2 on
  add(2, AdapterId{7}, 5, {20, 21}, 1);      // from the start on
  add(3, AdapterId{7}, 3, {30, 31}, -1);     // not yet
  add(4, AdapterId{7}, 0, {40}, 2);
  plan_.output_row_count = 3;
  plan_.spans[0].adapter_begin = 2;
  plan_.spans[2].adapter_begin = 5;
  const ForwardBatch& batch = build();
  ASSERT_EQ(batch.adapters.segments.size(), 2u);
  EXPECT_EQ(batch.adapters.segments.host[0].row_begin, 2);
  EXPECT_EQ(batch.adapters.segments.host[0].row_count, 3);
  EXPECT_EQ(batch.adapters.segments.host[1].row_begin, 7);
  EXPECT_EQ(batch.adapters.segments.host[1].row_count, 1);

  view_.records.resize(1);
  view_.sites[index_of(kHeadSite)] = {0, 1, 4};
  plan_.spans[0].scored_count = 3;
  plan_.spans[2].adapter_begin = 4;
  plan_.spans[2].output_row = 3;
  plan_.output_row_count = 4;
  (void)build();
  const OutputBlock& outputs = builder_.output_blocks()[0];
  ASSERT_EQ(outputs.adapters.segments.size(), 2u);  // rows 4 and 5 score positions 0 and 1
  EXPECT_EQ(outputs.adapters.segments.host[0].row_count, 4);
  EXPECT_EQ(outputs.adapters.segments.host[1].row_begin, 6);
}

TEST_F(BatchBuilderTest, GivesEachComponentOfABlendASegmentWithColumnsOfItsOwn) {
  AdapterView blend;
  for (const float weight : {0.5f, -2.0f}) {
    auto component = std::make_unique<AdapterView>();
    component->z_cols_max = component->shard_z_cols_max = 24;
    component->sites.resize(site_count(1));
    blend.components.push_back({weight, std::move(component)});
  }
  blend.z_cols_max = 48;
  plan_.clear();
  add(1, AdapterId{7}, 0, {10, 11, 12}, 0);
  plan_.output_row_count = 1;
  const ForwardBatch& batch = builder_.build(
      plan_, [&](AdapterId) { return &blend; }, 100);
  ASSERT_EQ(batch.adapters.segments.size(), 2u);
  EXPECT_EQ(batch.adapters.segments.host[1].row_count, 3);
  EXPECT_EQ(batch.adapters.segments.host[1].z_begin, 24);
  EXPECT_EQ(batch.adapters.segments.host[1].weight, -2.0f);
  ASSERT_EQ(batch.adapters.runs.size(), 1u) << "rows that two segments add to belong to one run";
  EXPECT_THAT(batch.adapters.run_segments.host, ElementsAre(0, 1));
  EXPECT_EQ(batch.adapters.z_cols, 48);
}

TEST_F(BatchBuilderTest, NamesRowsOfThePreviousStepWhoseTokensAreNotKnown) {
  plan_.tokens[2] = {.value = -1, .previous_row = 4};
  EXPECT_THAT(build().tokens.host, ElementsAre(10, 11, 30, -5, 40, 41));
}

TEST_F(BatchBuilderTest, PadsStepsOfOneTokenPerSequenceWithRowsThatChangeNothing) {
  const ModelLimits limits{.step_tokens_max = 64, .output_rows_max = 16, .z_cols_max = 40};
  (void)build();
  EXPECT_FALSE(builder_.try_pad(limits)) << "a prompt is in it";
  EXPECT_EQ(builder_.batch().tokens.size(), 6u);
  plan_.clear();
  add(1, kNoAdapter, 4, {10}, 0);
  add(2, AdapterId{7}, 9, {20}, 1);
  add(3, AdapterId{7}, 2, {30}, 2);
  plan_.output_row_count = 3;
  (void)build(2);
  EXPECT_FALSE(builder_.try_pad(limits)) << "two blocks of logits";
  plan_.spans[2].output_row = -1;
  plan_.spans[2].scored_begin = 2;
  plan_.spans[2].scored_count = 1;
  plan_.output_row_count = 2;
  (void)build();
  EXPECT_FALSE(builder_.try_pad(limits)) << "a row only scores a prompt";
  plan_.spans[2].output_row = 2;
  plan_.spans[2].scored_count = 0;
  plan_.output_row_count = 3;
  (void)build();
  ASSERT_TRUE(builder_.try_pad(limits));
  const ForwardBatch& batch = builder_.batch();
  EXPECT_THAT(batch.tokens.host, ElementsAre(10, 20, 30, 0));
  EXPECT_EQ(batch.rope_rows.size(), 4u);
  ASSERT_EQ(batch.spans.spans.size(), 4u);
  EXPECT_EQ(batch.spans.spans.host[3].row_count, 0);
  ASSERT_EQ(batch.adapters.segments.size(), 4u);
  EXPECT_EQ(batch.adapters.segments.host[0].row_count, 2);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(batch.adapters.segments.host[i].row_count, 0);
  EXPECT_EQ(batch.adapters.runs.size(), 4u);
  EXPECT_EQ(batch.adapters.z_cols, 40) << "the same for any adapters";
  EXPECT_EQ(builder_.output_blocks()[0].rows.size(), 4u);
  EXPECT_TRUE(builder_.output_blocks()[0].adapters.segments.empty());
}

TEST_F(BatchBuilderTest, NeedsNoSegmentsForBaseRows) {
  plan_.clear();
  add(1, kNoAdapter, 0, {1, 2, 3}, -1);
  const ForwardBatch& batch = build();
  EXPECT_TRUE(batch.adapters.segments.empty());
  EXPECT_EQ(batch.adapters.z_cols, 0);
}

}  // namespace
}  // namespace slora
