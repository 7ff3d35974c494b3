#include "backend/cuda/work_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kLayers = 2;
constexpr std::int32_t kMultiprocessors = 20;

// Of a site: another for every product of both layers, and no more than the ranks of one item.
std::int32_t number_of(std::size_t site_index) {
  constexpr std::size_t kProducts = 8;
  static_assert(kLayers * kProducts <= ShrinkItem::kRanks);
  return static_cast<std::int32_t>(1 + site_index / kSiteKindCount * kProducts + site_index % kSiteKindCount % kProducts);
}

// Segments of one row each, with an adapter that has another rank and another number of outputs at every product.
class NumberedBatch {
 public:
  explicit NumberedBatch(std::int32_t rows) {
    view_.sites.resize(site_count(kLayers));
    for (std::size_t site = 0; site < view_.sites.size(); ++site) {
      view_.sites[site] = {static_cast<std::int32_t>(site), 1, 0};
      RecordView& record = view_.records.emplace_back();
      record.out = record.rank = number_of(site);
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

// Copies to the device what the lists and tables say.
void bring(EmulatedDevice& device, WorkLists& lists, AdapterTables& tables) {
  const Stream stream = device.make_stream(StreamPriority::normal).value();
  const std::array<PieceCopy, 2> of_lists = lists.finish();
  for (const std::span<const PieceCopy> pieces : {std::span<const PieceCopy>(of_lists), tables.copies()}) {
    for (const PieceCopy& piece : pieces) EXPECT_TRUE(piece.bytes == 0 || device.upload(stream, piece.to, piece.from, piece.bytes));
  }
  tables.clear_copies();
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
  const std::int32_t number = number_of(index_of(site));
  const std::optional<WorkLists::OfSite> at = lists.find(batch, site);
  ASSERT_TRUE(at && at->shrink != nullptr && at->expand != nullptr);
  const ExpandList list = at_device(device, at->expand, 1).front();
  ASSERT_EQ(list.item_count, static_cast<std::int32_t>(batch.segments.size()));
  const std::vector<ExpandItem> items = at_device(device, list.items, list.item_count);
  for (std::int32_t row = 0; row < list.item_count; ++row) {
    const ExpandItem& item = items[static_cast<std::size_t>(row)];
    EXPECT_EQ(std::tuple(item.row_begin, item.row_count, item.use_count), std::tuple(row, 1, 1));
    const LoraTable table = at_device(device, list.uses + item.use_begin, 1).front().table;
    EXPECT_EQ(table.per_layer, 1);
    EXPECT_EQ(at_device(device, table.records + site.layer, 1).front().out, number);
  }
  const ShrinkList shrink = at_device(device, at->shrink, 1).front();
  ASSERT_EQ(shrink.item_count, list.item_count);
  for (const ShrinkItem& item : at_device(device, shrink.items, shrink.item_count)) {
    EXPECT_EQ(at_device(device, item.table.records + site.layer, 1).front().shrink_rank, number);
  }
}

TEST(WorkLists, HaveTheListsOfEverySiteAtPlacesThatDoNotMove) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  const ExpandList* place = nullptr;
  for (const std::int32_t rows : {3, 1, 300, 20, 2000}) {  // longer than memory at first
    const NumberedBatch layers(rows), head(2);
    lists->clear();
    EXPECT_TRUE(lists->try_add_sites(layers.batch()));
    EXPECT_TRUE(lists->try_add_site(head.batch(), kHeadSite));
    bring(device, *lists, tables);
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      for (int kind = 0; kind <= static_cast<int>(SiteKind::head); ++kind) {
        expect_lists_of(device, *lists, layers.batch(), {layer, static_cast<SiteKind>(kind)});
      }
    }
    expect_lists_of(device, *lists, head.batch(), kHeadSite);
    EXPECT_FALSE(lists->find(head.batch(), {1, SiteKind::o}));
    EXPECT_FALSE(lists->find(NumberedBatch(3).batch(), kHeadSite)) << "of arrays that were not added";
    if (place == nullptr) place = lists->find(head.batch(), kHeadSite)->expand;
    EXPECT_EQ(lists->find(head.batch(), kHeadSite)->expand, place);
  }
  lists->clear();
  EXPECT_FALSE(lists->find(NumberedBatch(3).batch(), kHeadSite));
  EXPECT_TRUE(device.take_faults().empty());
}

// Those of the batch's sites that have some, at the host and at the device, behind others.
TEST(WorkLists, HaveTheRowsThatAreScaledOfTheSitesThatScaleSome) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  const float gain = 0;
  AdapterView view;
  view.sites.resize(site_count(kLayers));
  for (const SiteKind kind : {SiteKind::o, SiteKind::down}) {
    view.sites[index_of({1, kind})] = {static_cast<std::int32_t>(view.records.size()), 1, 0};
    view.records.emplace_back().input_gain = &gain;
  }
  const std::vector<AdapterSegment> segments = {{3, 2, 0, 1, &view}}, more = {{0, 200, 0, 1, &view}};
  for (const std::vector<AdapterSegment>& rows : {segments, more}) {
    AdapterRuns runs;
    runs.cut(rows);
    const AdapterBatch batch{.segments = rows, .z_cols = 0, .runs = runs.runs(), .run_segments = runs.segments()};
    const NumberedBatch plain(5);
    lists->clear();
    EXPECT_TRUE(lists->try_add_sites(plain.batch()));
    EXPECT_FALSE(lists->scales_rows());
    EXPECT_TRUE(lists->try_add_sites(batch));
    EXPECT_TRUE(lists->scales_rows());
    bring(device, *lists, tables);
    EXPECT_TRUE(lists->find(plain.batch(), {1, SiteKind::down})->scale_items.empty());
    EXPECT_TRUE(lists->find(batch, {1, SiteKind::qkv})->scale_items.empty());
    for (const SiteKind kind : {SiteKind::o, SiteKind::down}) {
      const StepArray<ScaleItem> items = lists->find(batch, {1, kind})->scale_items;
      ASSERT_EQ(static_cast<std::int32_t>(items.size()), rows.front().row_count);
      for (std::size_t i = 0; i < items.size(); ++i) {
        const ScaleItem at = at_device(device, items.device + i, 1).front();
        EXPECT_EQ(std::tuple(at.row, at.place), std::tuple(items.host[i].row, items.host[i].place));
        EXPECT_EQ(at.row, rows.front().row_begin + static_cast<std::int32_t>(i));
        EXPECT_EQ(at.table.records, tables.find_or_make(view).kinds[static_cast<std::size_t>(kind)].table.records);
      }
    }
  }
}

TEST(WorkLists, RefuseMoreSitesThanTheyHavePlacesFor) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  std::vector<std::unique_ptr<NumberedBatch>> batches;
  bool has_place = true;
  while (has_place && batches.size() < 10000) {
    has_place = lists->try_add_sites(batches.emplace_back(std::make_unique<NumberedBatch>(1))->batch());
  }
  EXPECT_FALSE(has_place);
  EXPECT_GT(batches.size(), 100u);
  EXPECT_TRUE(lists->find(batches.front()->batch(), kHeadSite));
  EXPECT_FALSE(lists->find(batches.back()->batch(), kHeadSite));
}

TEST(WorkLists, GrowInNoStepThatTheyWereReservedFor) {
  constexpr std::int32_t kStepRows = 600;
  const AttendShape shape{4, 1, 64, 0};
  EmulatedDevice device({});
  AdapterTables tables(device);
  ASSERT_TRUE(tables.reserve(std::size_t{1} << 20));
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  ASSERT_TRUE(lists->reserve(kStepRows, {&shape, 1}));
  const std::size_t free = device.memory().value().free;
  const NumberedBatch batch(WorkLists::kAdaptersReserved);
  for (const std::int32_t count : {1, 30, kStepRows}) {  // spans, of a token or of a prompt
    std::vector<SpanView> spans;
    for (std::int32_t i = 0; i < count; ++i) spans.push_back({i * (kStepRows / count), kStepRows / count, 5000, 0, 0});
    lists->clear();
    EXPECT_TRUE(lists->try_add_spans(SpanBatch{spans, {}}, shape));
    EXPECT_TRUE(lists->try_add_sites(batch.batch()));
    bring(device, *lists, tables);
    EXPECT_EQ(device.memory().value().free, free) << count << " spans";
  }
}

// What a step has none of is not launched; a graph is for steps that have the same.
TEST(WorkLists, TellWhatThereIsNoneOf) {
  const auto bias_view = [](SiteKind kind, const float* bias) {
    auto view = std::make_unique<AdapterView>();
    view->sites.resize(site_count(kLayers));
    view->sites[index_of({1, kind})] = {0, 1, 0};
    RecordView& record = view->records.emplace_back();
    record.out = 4;
    record.bias = bias;
    return view;
  };
  const float bias = 0;
  std::set<std::uint32_t> works;
  for (const SiteKind kind : {SiteKind::o, SiteKind::down}) {
    for (const std::int32_t keys : {100, 3000}) {
      EmulatedDevice device({});
      AdapterTables tables(device);
      const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
      const std::unique_ptr<AdapterView> view = bias_view(kind, &bias);
      const std::vector<AdapterSegment> segments = {{0, 1, 0, 1, view.get()}};
      AdapterRuns runs;
      runs.cut(segments);
      const AdapterBatch batch{.segments = segments, .z_cols = 0, .runs = runs.runs(), .run_segments = runs.segments()};
      const std::vector<SpanView> span = {{0, 1, keys, 0, 0}};
      const SpanBatch spans{span, {}};
      EXPECT_TRUE(lists->try_add_spans(spans, {1, 1, 64, 0}));
      EXPECT_TRUE(lists->try_add_sites(batch));
      EXPECT_EQ(lists->find(spans, {1, 1, 64, 0})->has_joins, keys > 512);
      EXPECT_EQ(lists->find(batch, {0, SiteKind::o})->expand != nullptr, kind == SiteKind::o);
      EXPECT_EQ(lists->find(batch, {1, SiteKind::down})->expand != nullptr, kind == SiteKind::down);
      EXPECT_EQ(lists->find(batch, {1, SiteKind::o})->shrink, nullptr);
      works.insert(lists->work());
    }
  }
  EXPECT_EQ(works.size(), 4u);
}

// Spans with few and many queries, and some with keys of several ranges.
TEST(WorkLists, AttendComputesEveryQueryOfEveryHeadOverAllItsKeysOnce) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  const AttendList* place = nullptr;
  for (const AttendShape shape :
       {AttendShape{1, 1, 64, 0}, AttendShape{2, 7, 64, 0}, AttendShape{3, 16, 200, 0}, AttendShape{2, 3, 64, 700}}) {
    for (const bool has_prompt : {true, false}) {
      std::vector<SpanView> spans = {{0, 1, 7, 0, 1}, {1, 1, 2000, 1, 3}, {2, 0, 0, 4, 0}, {2, 1, 511, 4, 2}, {3, 1, 512, 4, 2}};
      if (has_prompt) spans.push_back({4, 40, 1500, 6, 2});
      const SpanBatch batch{spans, {}};
      lists->clear();
      EXPECT_TRUE(lists->try_add_spans(batch, shape));
      bring(device, *lists, tables);
      const std::optional<WorkLists::OfSpans> found = lists->find(batch, shape);
      ASSERT_TRUE(found && found->attend != nullptr);
      const AttendList* const at = found->attend;
      if (place == nullptr) place = at;
      EXPECT_EQ(at, place);
      AttendShape other = shape;
      ++other.window;
      EXPECT_FALSE(lists->find(batch, other));
      EXPECT_FALSE(lists->find(SpanBatch{std::vector<SpanView>(spans), {}}, shape));
      const std::int32_t tile_rows = tile_rows_of(batch, shape);
      EXPECT_EQ(tile_rows, has_prompt && shape.head_dim <= 128 ? 32 : 16);

      // Ranges of keys of each query and head; an item of all ranges counts for each.
      const AttendList list = at_device(device, at, 1).front();
      std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>, std::int32_t> counts;
      std::int32_t range_items = 0;
      for (const AttendItem& item : at_device(device, list.items, list.item_count)) {
        ASSERT_TRUE(item.query_count >= 1 && item.query_count * shape.group <= tile_rows);
        const SpanView& span = spans[static_cast<std::size_t>(item.span)];
        const std::int32_t first = span.position_begin + item.query_begin, last = first + item.query_count - 1;
        const bool is_range = item.range != AttendItem::kAllRanges;
        range_items += is_range ? 1 : 0;
        const std::int32_t begin = is_range ? item.range : (shape.window == 0 ? 0 : std::max(0, first - shape.window + 1)) / 512;
        for (std::int32_t range = begin; range <= (is_range ? begin : last / 512); ++range) {
          for (std::int32_t query = 0; query < item.query_count; ++query) {
            ++counts[{item.span, item.query_begin + query, item.kv_head, range}];
          }
        }
      }
      for (const auto& [key, count] : counts) EXPECT_EQ(count, 1);
      std::int32_t joined = 0;
      for (const AttendJoin& join : at_device(device, list.joins, list.join_count)) joined += join.range_count;
      EXPECT_EQ(joined, range_items);
      EXPECT_GT(list.join_count, 0) << "the span with 2,000 keys";
      for (std::int32_t span = 0; span < static_cast<std::int32_t>(spans.size()); ++span) {
        for (std::int32_t query = 0; query < spans[static_cast<std::size_t>(span)].row_count; ++query) {
          const std::int32_t position = spans[static_cast<std::size_t>(span)].position_begin + query;
          const std::int32_t first = shape.window == 0 ? 0 : std::max(0, position - shape.window + 1) / 512;
          for (std::int32_t range = first; range <= position / 512; ++range) {
            for (std::int32_t head = 0; head < shape.kv_heads; ++head) EXPECT_EQ((counts[{span, query, head, range}]), 1);
          }
        }
      }
    }
  }
}

// Of a batch's lists for one shape.
struct AttendWork {
  std::vector<AttendItem> items;
  std::vector<AttendJoin> joins;
};
AttendWork attend_work(const std::vector<SpanView>& spans, const AttendShape& shape) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  const SpanBatch batch{spans, {}};
  EXPECT_TRUE(lists->try_add_spans(batch, shape));
  bring(device, *lists, tables);
  const AttendList list = at_device(device, lists->find(batch, shape)->attend, 1).front();
  return {at_device(device, list.items, list.item_count), at_device(device, list.joins, list.join_count)};
}

TEST(WorkLists, AttendBeginsWithTheItemsOfMostKeys) {
  std::vector<SpanView> spans = {{0, 1, 3000, 0, 0}, {1, 90, 20, 0, 0}, {91, 90, 2100, 0, 0}, {181, 1, 5, 0, 0}, {182, 700, 300, 0, 0}};
  std::int32_t before = 1 << 20, all_ranges = 0;
  for (const AttendItem& item : attend_work(spans, {4, 1, 64, 0}).items) {
    const SpanView& span = spans[static_cast<std::size_t>(item.span)];
    const bool has_all = item.range == AttendItem::kAllRanges;
    const std::int32_t ranges = has_all ? (span.position_begin + item.query_begin + item.query_count + 511) / 512 : 1;
    EXPECT_LE(ranges, before);
    before = ranges;
    all_ranges += has_all && ranges > 1 ? 1 : 0;
  }
  EXPECT_GT(all_ranges, 50) << "tiles of prompts";
}

TEST(WorkLists, AttendCutsThePromptsKeysWhereThereAreFewTiles) {
  const std::vector<SpanView> chunk = {{0, 60, 4000, 0, 0}};  // two tiles
  const AttendWork few = attend_work(chunk, {2, 1, 64, 0}), many = attend_work(chunk, {20, 1, 64, 0});
  EXPECT_EQ(few.joins.size(), 4u);
  EXPECT_EQ(few.items.size(), 4u * 8u);
  EXPECT_EQ(many.joins.size(), 0u);
  EXPECT_EQ(many.items.size(), 40u);
}

TEST(WorkLists, AttendLeavesNoMorePartsThanThereIsMemoryFor) {
  EmulatedDevice device({});
  AdapterTables tables(device);
  const std::unique_ptr<WorkLists> lists = WorkLists::create(device, tables, kMultiprocessors).value();
  std::vector<SpanView> spans;
  for (std::int32_t i = 0; i < 300; ++i) spans.push_back({i, 1, 10000 + 40 * i, 0, 0});
  const SpanBatch batch{spans, {}};
  EXPECT_TRUE(lists->try_add_spans(batch, {2, 4, 64, 0}));
  bring(device, *lists, tables);
  const AttendList list = at_device(device, lists->find(batch, {2, 4, 64, 0})->attend, 1).front();
  std::int64_t rows = 0;
  std::int32_t shortest = 300;
  for (const AttendJoin& join : at_device(device, list.joins, list.join_count)) {
    shortest = std::min(shortest, join.span);
    rows += std::int64_t{AttendItem::kParts} * join.range_count * join.query_count * 4;
  }
  EXPECT_GT(rows, 0);
  EXPECT_LE(rows, WorkLists::kPartRowsMax);
  EXPECT_LT(list.join_count, 600);
  EXPECT_EQ(list.join_count, 2 * (300 - shortest)) << "those with most keys";
}

}  // namespace
}  // namespace slora::cuda
