#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device_api.h"
#include "backend/cuda/site_lists.h"
#include "kernels/cuda/attend.h"
#include "kernels/cuda/lora_args.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// The heads of attention, which items of attend are made for.
struct HeadShape {
  std::int32_t kv_heads = 0;
  std::int32_t group = 0;  // query heads of a kv head, at most AttendItem::kRowsMax
  bool operator==(const HeadShape&) const = default;
};

// The lists of work that kernels read, made by the host from the arrays of one step: which rows, heads and records each part of a launch
// computes. The lists' lengths and places change from step to step; the heads that name them (AttendList, ShrinkList, ExpandList) stay
// where they are, so that a graph finds the lists of the step that it is replayed for. Owned by a backend, used by the engine thread.
class WorkLists {
 public:
  // The device outlives it.
  [[nodiscard]] static Result<std::unique_ptr<WorkLists>> create(DeviceApi& device);

  void clear();
  void add_spans(const SpanBatch& spans, const HeadShape& shape);
  // Adds all sites of the batch's adapters, or one of them. Returns false, and adds nothing, if there are more than kSitesMax.
  bool try_add_sites(const AdapterBatch& adapters);
  bool try_add_site(const AdapterBatch& adapters, Site site);
  // What is to be copied to the device before an op uses the lists. Valid until the next clear(). Throws a DeviceError.
  [[nodiscard]] std::array<PieceCopy, 2> finish();

  // In device memory; null if no such arrays were added.
  [[nodiscard]] const AttendList* find(const SpanBatch& spans, const HeadShape& shape) const;
  [[nodiscard]] const ShrinkList* find_shrink(const AdapterBatch& adapters, Site site) const;
  [[nodiscard]] const ExpandList* find_expand(const AdapterBatch& adapters, Site site) const;

 private:
  // Sites of one batch; 140 layers have 700.
  static constexpr std::size_t kSitesMax = 4096;

  // What does not move.
  struct SiteHeads {
    ShrinkList shrink;
    ExpandList expand;
  };
  struct Heads {
    AttendList attend;
    SiteHeads sites[kSitesMax];
  };
  // The sites that were added of a batch, known by its segments' place.
  struct Batch {
    const AdapterSegment* segments;
    std::size_t begin;  // in sites_
    std::int32_t expert_count;
    bool has_all_sites;
    Site site;  // unless it has all
  };

  explicit WorkLists(DeviceApi& device) : device_(device) {}
  [[nodiscard]] Status make();
  [[nodiscard]] const SiteHeads* find_heads(const AdapterBatch& adapters, Site site) const;
  [[nodiscard]] std::size_t array_bytes() const;
  void reserve(std::size_t bytes);
  // Places every array, and what names them.
  void place_arrays();

  DeviceApi& device_;
  SiteLists lists_;
  std::vector<SiteLists::Site> sites_;
  std::vector<Batch> batches_;
  std::vector<AttendItem> attend_items_;
  const SpanView* spans_ = nullptr;  // that were added
  HeadShape shape_;                  // of the items
  Buffer device_heads_;              // Heads
  Buffer device_arrays_;
  Buffer host_heads_, host_arrays_;  // page-locked
};

}  // namespace slora::cuda
