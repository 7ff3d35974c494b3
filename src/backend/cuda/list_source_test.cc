#include "backend/cuda/list_source.h"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/cuda/device_owners.h"
#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kAdapters = 150;
constexpr Site kSourceSite{0, SiteKind::o};

// One row for each of kAdapters adapters, which nobody else has. Adapter `i` has a bias that acts from output `first_output + i` on.
class BiasBatch {
 public:
  explicit BiasBatch(std::int32_t first_output) : first_output_(first_output) {
    for (std::int32_t i = 0; i < kAdapters; ++i) {
      AdapterView& view = *views_.emplace_back(std::make_unique<AdapterView>());
      view.sites.resize(site_count(1));
      view.sites[index_of(kSourceSite)] = {0, 1, 0};
      RecordView& record = view.records.emplace_back();
      record.slice_begin = first_output + i;
      record.out = 1;
      record.bias = &bias_;
      segments_.push_back({i, 1, 0, 1, &view});
    }
    runs_.cut(segments_);
    batch_ = {.segments = segments_, .z_cols = 0, .runs = runs_.runs(), .run_segments = runs_.segments()};
  }
  [[nodiscard]] const AdapterBatch& batch() const { return batch_; }
  void expect_at(EmulatedDevice& device, const ExpandList* at) const {
    ExpandList list{};
    device.read(&list, at, sizeof(list));
    ASSERT_EQ(list.item_count, kAdapters);
    std::vector<ExpandUse> uses(kAdapters);
    device.read(uses.data(), list.uses, uses.size() * sizeof(ExpandUse));
    expect_uses(device, uses);
  }
  void expect_uses(EmulatedDevice& device, std::span<const ExpandUse> uses) const {
    ASSERT_EQ(uses.size(), std::size_t{kAdapters});
    for (std::int32_t i = 0; i < kAdapters; ++i) {
      LoraRecord record;
      device.read(&record, uses[static_cast<std::size_t>(i)].table.records, sizeof(record));
      EXPECT_EQ(record.slice_begin, first_output_ + i);
    }
  }

 private:
  const std::int32_t first_output_;
  float bias_ = 0;
  std::vector<std::unique_ptr<AdapterView>> views_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;
  AdapterBatch batch_;
};

// Together they have more adapters than there is memory for at first.
TEST(ListSource, TheListsOfTwoStepsUnderWayNameTheirOwnAdapters) {
  EmulatedDevice device({});
  const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
  const std::unique_ptr<ListSource> source = ListSource::create(device, *streams, 2, 4).value();
  std::unique_ptr<BiasBatch> before;
  const ExpandList* at_before = nullptr;
  for (std::int32_t step = 0; step < 12; ++step) {
    auto batch = std::make_unique<BiasBatch>(100 * step);
    source->begin_step();
    static_cast<void>(source->prepare(step % 2, {{}, {&batch->batch(), 1}}));
    const ExpandList* const at = source->find(batch->batch(), kSourceSite).expand;
    streams->drain();
    batch->expect_at(device, at);
    if (before) before->expect_at(device, at_before);
    before = std::move(batch);
    at_before = at;
  }
  EXPECT_TRUE(device.take_faults().empty());
}

// Outside of steps, as ops of tests are called.
TEST(ListSource, TheListsOfOneOpAreReadBeforeThoseOfTheNextAreMade) {
  EmulatedDevice device({});
  const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
  const std::unique_ptr<ListSource> source = ListSource::create(device, *streams, 2, 4).value();
  ASSERT_TRUE(source->prepare_model({.attention = {}, .layers = 1, .step_rows_max = kAdapters}));  // so that nothing grows
  const BiasBatch first(0), second(1000);
  const ExpandList* const at = source->find(first.batch(), kSourceSite).expand;
  streams->drain();
  ExpandList list{};
  device.read(&list, at, sizeof(list));
  static_cast<void>(source->find(second.batch(), kSourceSite));
  // An op that reads the list, before the next op asks for its own.
  constexpr std::size_t kBytes = kAdapters * sizeof(ExpandUse);
  const Buffer seen = allocate_host_buffer(device, kBytes).value();
  ASSERT_TRUE(device.download(streams->compute(), seen.data(), list.uses, kBytes));
  static_cast<void>(source->find(first.batch(), kSourceSite));
  streams->drain();
  second.expect_uses(device, {reinterpret_cast<const ExpandUse*>(seen.data()), std::size_t{kAdapters}});
  first.expect_at(device, at);
  EXPECT_TRUE(device.take_faults().empty());
}

}  // namespace
}  // namespace slora::cuda
