#include "engine/live_sequence.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

LiveSequence scored_sequence() {
  GenerationRequest request;
  request.prompt = {5, 6, 7, 8};
  request.sampling.prompt_logprob_count = 2;
  return LiveSequence(std::move(request));
}

std::vector<PromptLogprob> answers(const std::vector<std::int32_t>& ranks) {
  std::vector<PromptLogprob> out;
  for (const std::int32_t rank : ranks) out.push_back({.token = {.id = 1, .logprob = -1, .top = {}}, .rank = rank});
  return out;
}

TEST(LiveSequence, CountsTheTokenThatASubmittedStepWillDraw) {
  GenerationRequest request;
  request.prompt = {5};
  request.sampling.min_tokens = 1;
  request.sampling.end_tokens = {9};
  LiveSequence sequence(std::move(request));
  EXPECT_EQ(sequence.sample_source().position, 0u);
  EXPECT_EQ(sequence.sample_source().pending_row, -1);
  EXPECT_EQ(sequence.sample_source().banned.size(), 1u);
  sequence.note_submitted(4);
  EXPECT_EQ(sequence.sample_source().position, 1u);
  EXPECT_EQ(sequence.sample_source().pending_row, 4);
  EXPECT_TRUE(sequence.sample_source().banned.empty());
  sequence.note_submitted(2);
  sequence.note_collected();
  sequence.append(3);
  EXPECT_EQ(sequence.sample_source().position, 2u);
  EXPECT_EQ(sequence.sample_source().pending_row, 2) << "the second step's row";
  sequence.note_collected();
  sequence.append(3);
  EXPECT_EQ(sequence.sample_source().position, 2u);
  EXPECT_EQ(sequence.sample_source().pending_row, -1);
}

TEST(LiveSequence, ScoresAtEveryPositionTheTokenThatFollows) {
  const LiveSequence sequence = scored_sequence();
  EXPECT_EQ(sequence.score_row(0).token, 6);
  EXPECT_EQ(sequence.score_row(2).token, 8);
  EXPECT_EQ(sequence.score_row(2).logprob_count, 2);
}

TEST(LiveSequence, GathersScoresFromSeveralSteps) {
  LiveSequence sequence = scored_sequence();
  std::vector<PromptLogprob> first = answers({3}), rest = answers({1, 2});
  sequence.take_scores(0, first);
  sequence.take_scores(1, rest);
  const std::optional<std::vector<PromptLogprob>> logprobs = sequence.take_prompt_logprobs();
  ASSERT_TRUE(logprobs);
  ASSERT_EQ(logprobs->size(), 3u);
  EXPECT_EQ((*logprobs)[0].rank, 3);
  EXPECT_EQ((*logprobs)[2].rank, 2);
}

TEST(LiveSequence, HasNoScoresWhenOneHadNoFiniteLogits) {
  LiveSequence sequence = scored_sequence();
  std::vector<PromptLogprob> scores = answers({1, 0, 1});
  sequence.take_scores(0, scores);
  EXPECT_FALSE(sequence.take_prompt_logprobs());
}

TEST(LiveSequenceDeathTest, StopsWhenAPositionIsScoredTwiceOrLeftOut) {
  LiveSequence sequence = scored_sequence();
  std::vector<PromptLogprob> scores = answers({1, 1});
  sequence.take_scores(0, scores);
  EXPECT_DEATH(sequence.take_scores(1, scores), "scored once");
  EXPECT_DEATH((void)sequence.take_prompt_logprobs(), "before the first token");
}

}  // namespace
}  // namespace slora
