#include "backend/cuda/work_lists.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kLayers = 2;

// Segments of one row each, with an adapter that has another rank and another number of outputs at every site.
class NumberedBatch {
 public:
  explicit NumberedBatch(std::int32_t rows) {
    view_.sites.resize(site_count(kLayers));
    for (std::size_t site = 0; site < view_.sites.size(); ++site) {
      view_.sites[site] = {static_cast<std::int32_t>(site), 1, 0};
      RecordView& record = view_.records.emplace_back();
      record.out = record.rank = static_cast<std::int32_t>(site) + 1;
      record.a = {&tile_, 1, record.rank, 8, DType::bf16};
      record.bias = &bias_;
    }
    for (std::int32_t row = 0; row < rows; ++row) segments_.push_back({row, 1, 0, 1, &view_});
    runs_.cut(segments_);
    batch_ = {.segments = segments_, .z_cols = 0, .runs = runs_.runs(), .run_segments = runs_.segments()};
  }
  [[nodiscard]] const AdapterBatch& batch() const { return batch_; }

 private:
  float bias_ = 0;
  Tile tile_{};
  AdapterView view_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;
  AdapterBatch batch_;
};

// Copies to the device what the lists say.
void bring(EmulatedDevice& device, WorkLists& lists) {
  const Stream stream = device.make_stream(StreamPriority::normal).value();
  for (const PieceCopy& piece : lists.finish()) {
    EXPECT_TRUE(piece.bytes == 0 || device.upload(stream, piece.to, piece.from, piece.bytes));
  }
  EXPECT_TRUE(device.synchronise(stream));
  EXPECT_TRUE(device.destroy(stream));
}

template <class T>
std::vector<T> at_device(EmulatedDevice& device, const T* from, std::int32_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  if (count > 0) device.read(values.data(), from, values.size() * sizeof(T));
  return values;
}

void expect_lists_of(EmulatedDevice& device, const WorkLists& lists, const AdapterBatch& batch, Site site) {
  const auto number = static_cast<std::int32_t>(index_of(site)) + 1;
  const ExpandList* const at = lists.find_expand(batch, site);
  ASSERT_NE(at, nullptr);
  const ExpandList list = at_device(device, at, 1).front();
  ASSERT_EQ(list.item_count, static_cast<std::int32_t>(batch.segments.size()));
  const std::vector<ExpandItem> items = at_device(device, list.items, list.item_count);
  for (std::int32_t row = 0; row < list.item_count; ++row) {
    const ExpandItem& item = items[static_cast<std::size_t>(row)];
    EXPECT_EQ(std::tuple(item.row_begin, item.row_count, item.use_count), std::tuple(row, 1, 1));
    const ExpandUse use = at_device(device, list.uses + item.use_begin, 1).front();
    EXPECT_EQ(at_device(device, list.records + use.record, 1).front().out, number);
  }
  const ShrinkList shrink = at_device(device, lists.find_shrink(batch, site), 1).front();
  ASSERT_EQ(shrink.item_count, list.item_count);
  for (const ShrinkItem& item : at_device(device, shrink.items, shrink.item_count)) {
    EXPECT_EQ(at_device(device, shrink.records + item.record, 1).front().rank, number);
  }
}

TEST(WorkLists, HaveTheListsOfEverySiteAtPlacesThatDoNotMove) {
  EmulatedDevice device({});
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device).value();
  const ExpandList* place = nullptr;
  for (const std::int32_t rows : {3, 1, 300, 20, 2000}) {  // longer than memory at first
    const NumberedBatch layers(rows), head(2);
    lists->clear();
    EXPECT_TRUE(lists->try_add_sites(layers.batch()));
    EXPECT_TRUE(lists->try_add_site(head.batch(), kHeadSite));
    bring(device, *lists);
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      for (int kind = 0; kind < kSiteKindCount; ++kind) {
        expect_lists_of(device, *lists, layers.batch(), {layer, static_cast<SiteKind>(kind)});
      }
    }
    expect_lists_of(device, *lists, head.batch(), kHeadSite);
    EXPECT_EQ(lists->find_expand(head.batch(), {1, SiteKind::o}), nullptr);
    EXPECT_EQ(lists->find_expand(NumberedBatch(3).batch(), kHeadSite), nullptr) << "of arrays that were not added";
    if (place == nullptr) place = lists->find_expand(head.batch(), kHeadSite);
    EXPECT_EQ(lists->find_expand(head.batch(), kHeadSite), place);
  }
  lists->clear();
  EXPECT_EQ(lists->find_expand(NumberedBatch(3).batch(), kHeadSite), nullptr);
  EXPECT_TRUE(device.take_faults().empty());
}

TEST(WorkLists, RefuseMoreSitesThanTheyHavePlacesFor) {
  EmulatedDevice device({});
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device).value();
  std::vector<std::unique_ptr<NumberedBatch>> batches;
  bool has_place = true;
  while (has_place && batches.size() < 10000) {
    has_place = lists->try_add_sites(batches.emplace_back(std::make_unique<NumberedBatch>(1))->batch());
  }
  EXPECT_FALSE(has_place);
  EXPECT_GT(batches.size(), 100u);
  EXPECT_NE(lists->find_expand(batches.front()->batch(), kHeadSite), nullptr);
  EXPECT_EQ(lists->find_expand(batches.back()->batch(), kHeadSite), nullptr);
}

TEST(WorkLists, AttendComputesEveryQueryOfEveryHeadOnce) {
  EmulatedDevice device({});
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device).value();
  const AttendList* place = nullptr;
  for (const HeadShape shape : {HeadShape{1, 1}, HeadShape{2, 7}, HeadShape{3, 16}, HeadShape{2, 3}}) {
    const std::vector<SpanView> spans = {{0, 1, 7, 0, 1}, {1, 40, 0, 1, 3}, {41, 0, 0, 4, 0}, {41, 16, 3, 4, 2}};
    const SpanBatch batch{spans, {}};
    lists->clear();
    lists->add_spans(batch, shape);
    bring(device, *lists);
    const AttendList* const at = lists->find(batch, shape);
    ASSERT_NE(at, nullptr);
    if (place == nullptr) place = at;
    EXPECT_EQ(at, place);
    EXPECT_EQ(lists->find(batch, {shape.kv_heads + 1, shape.group}), nullptr);
    EXPECT_EQ(lists->find(SpanBatch{std::vector<SpanView>(spans), {}}, shape), nullptr);
    const AttendList list = at_device(device, at, 1).front();
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::int32_t> counts;
    for (const AttendItem& item : at_device(device, list.items, list.item_count)) {
      ASSERT_TRUE(item.query_count >= 1 && item.query_count * shape.group <= AttendItem::kRowsMax);
      for (std::int32_t query = 0; query < item.query_count; ++query) ++counts[{item.span, item.query_begin + query, item.kv_head}];
    }
    for (std::int32_t span = 0; span < static_cast<std::int32_t>(spans.size()); ++span) {
      for (std::int32_t query = 0; query < spans[static_cast<std::size_t>(span)].row_count; ++query) {
        for (std::int32_t head = 0; head < shape.kv_heads; ++head) EXPECT_EQ((counts[{span, query, head}]), 1);
      }
    }
    EXPECT_EQ(counts.size(), 57u * static_cast<std::size_t>(shape.kv_heads));
  }
}

}  // namespace
}  // namespace slora::cuda
