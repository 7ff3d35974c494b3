#include "model/batch_fingerprint.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

AdapterView view_of(std::uint64_t adapter) {
  AdapterView view;
  view.id = AdapterId{adapter};
  return view;
}

// A batch of two spans, one of them under an adapter, that a test may change.
struct MadeBatch {
  std::vector<TokenId> tokens = {5, 6, 7};
  std::vector<std::int32_t> positions = {0, 1, 9};
  std::vector<PageIndex> pages = {PageIndex{3}, PageIndex{8}, PageIndex{2}};
  AdapterView view = view_of(7);
  std::vector<AdapterSegment> segments = {{2, 1, 0, 1.0f, &view}};
  std::vector<std::int32_t> output_rows = {1, 2};

  [[nodiscard]] std::uint64_t value() const {
    const std::vector<SpanView> spans = {{0, 2, 0, 0, 1}, {2, 1, 9, 1, 2}};
    return fingerprint(ForwardBatch{tokens, positions, {spans, pages}, {segments, 4}});
  }
  [[nodiscard]] std::uint64_t output_value() const { return fingerprint(OutputBlock{output_rows, {segments, 4}}); }
};

TEST(BatchFingerprint, IsEqualForBatchesThatDifferInTheirViewsOnly) {
  MadeBatch a, b;
  EXPECT_EQ(a.value(), b.value());
  EXPECT_EQ(a.output_value(), b.output_value());
}

TEST(BatchFingerprint, DiffersWithTokensPositionsPagesAndSegments) {
  const std::uint64_t value = MadeBatch().value();
  MadeBatch changed;
  changed.tokens[1] = 8;
  EXPECT_NE(changed.value(), value);
  changed = MadeBatch();
  changed.positions[2] = 10;
  EXPECT_NE(changed.value(), value);
  changed = MadeBatch();
  std::swap(changed.pages[1], changed.pages[2]);
  EXPECT_NE(changed.value(), value);
  changed = MadeBatch();
  changed.segments[0].row_begin = 1;
  EXPECT_NE(changed.value(), value);
}

TEST(BatchFingerprint, DiffersWithTheAdapterOfASegmentAndItsWeight) {
  const MadeBatch unchanged;
  const AdapterView other = view_of(8);
  MadeBatch changed;
  changed.segments[0].adapter = &other;
  EXPECT_NE(changed.value(), unchanged.value());
  EXPECT_NE(changed.output_value(), unchanged.output_value());
  changed.segments = unchanged.segments;
  changed.segments[0].weight = 0.5f;
  EXPECT_NE(changed.value(), unchanged.value());
  EXPECT_NE(changed.output_value(), unchanged.output_value());
}

TEST(BatchFingerprint, DiffersWithTheOutputRows) {
  MadeBatch changed;
  changed.output_rows[0] = 0;
  EXPECT_NE(changed.output_value(), MadeBatch().output_value());
  changed.output_rows = {1};
  EXPECT_NE(changed.output_value(), MadeBatch().output_value());
}

}  // namespace
}  // namespace slora
