#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device_api.h"
#include "backend/cuda/site_lists.h"
#include "kernels/cuda/attend_items.h"
#include "kernels/cuda/lora_args.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// What items of attend are made for.
struct AttendShape {
  std::int32_t kv_heads = 0;
  std::int32_t group = 0;  // query heads of a kv head, at most AttendItem::kRowsMax
  std::int32_t head_dim = 0;
  std::int32_t window = 0;
  bool operator==(const AttendShape&) const = default;
};

// AttendArgs::tile_rows of a batch. Where no span has more queries than fit in the smallest tiles, as in every step that is replayed,
// these.
[[nodiscard]] std::int32_t tile_rows_of(const SpanBatch& spans, const AttendShape& shape);

// The lists of work that kernels read, made by the host from the arrays of one step: which rows, heads and records each part of a launch
// computes. The lists' lengths and places change from step to step; the heads that name them (AttendList, ShrinkList, ExpandList) stay
// where they are, so that a graph finds the lists of the step that it is replayed for. Owned by a backend, used by the engine thread.
class WorkLists {
 public:
  // The device and the tables, which belong to the same backend, outlive it.
  [[nodiscard]] static Result<std::unique_ptr<WorkLists>> create(DeviceApi& device, AdapterTables& tables, std::int32_t multiprocessors);

  // Rows of AttendParts that the items of one batch leave at most.
  static constexpr std::int64_t kPartRowsMax = 1 << 16;
  // Shapes of attention: layers of one model have two, with and without a window.
  static constexpr std::size_t kAttendMax = 4;

  // Memory for the lists of steps of so many rows, each of up to kAdaptersReserved adapters, with these shapes of attention. It grows when
  // it must, and then waits for the device.
  [[nodiscard]] Status reserve(std::int64_t rows, std::span<const AttendShape> shapes);
  static constexpr std::int64_t kAdaptersReserved = 256;

  void clear();
  // Returns false, and adds nothing, if there are more than kAttendMax.
  bool try_add_spans(const SpanBatch& spans, const AttendShape& shape);
  // Adds all kinds of sites of the batch's adapters that have products, or that of one site. Returns false, and adds nothing, if there are
  // more than kKindsMax.
  bool try_add_sites(const AdapterBatch& adapters);
  bool try_add_site(const AdapterBatch& adapters, Site site);
  // What is to be copied to the device before an op uses the lists. Valid until the next clear(). Throws a DeviceError.
  [[nodiscard]] std::array<PieceCopy, 2> finish();

  // Lists in device memory.
  struct OfSpans {
    const AttendList* attend = nullptr;
    bool has_joins = false;
  };
  struct OfSite {  // of the sites of its kind in all layers; null: there is nothing to do
    const ShrinkList* shrink = nullptr;
    const ExpandList* expand = nullptr;
    // What rows are scaled for products of their own. Not a list with a head in device memory: how many launches there are depends on it,
    // so that a step that has some can't be a graph.
    StepArray<ScaleItem> scale_items{};
  };
  // Nothing if no such arrays were added.
  [[nodiscard]] std::optional<OfSpans> find(const SpanBatch& spans, const AttendShape& shape) const;
  [[nodiscard]] std::optional<OfSite> find(const AdapterBatch& adapters, Site site) const;
  // What find() says of all that was added, as far as it may change between batches of the same shapes: for StepKey.
  [[nodiscard]] std::uint32_t work() const;
  // Whether any OfSite has scale_items.
  [[nodiscard]] bool scales_rows() const { return !lists_.arrays().scale_items.empty(); }

 private:
  // Kinds of sites, of all batches: of the layers and of each block of logits.
  static constexpr std::size_t kKindsMax = 1024;
  static constexpr std::size_t kKindsInWork = 14;  // two bits each

  // What does not move.
  struct KindHeads {
    ShrinkList shrink;
    ExpandList expand;
  };
  struct Heads {
    AttendList attend[kAttendMax];
    KindHeads kinds[kKindsMax];
  };
  // The spans that were added, known by their place, for one shape.
  struct Attend {
    const SpanView* spans = nullptr;
    AttendShape shape;
    AttendItems items{{}};
  };
  // The kinds that were added of a batch, known by its segments' place.
  struct Batch {
    const AdapterSegment* segments;
    std::size_t first, count;  // kinds: index_of() sites in layer 0
    std::size_t begin;         // in kinds_
  };

  WorkLists(DeviceApi& device, AdapterTables& tables, std::int32_t multiprocessors)
      : device_(device), tables_(tables), multiprocessors_(multiprocessors) {}
  [[nodiscard]] Status make();
  bool try_add_kinds(const AdapterBatch& adapters, std::size_t first, std::size_t count);
  // Of one of kinds_. Kinds for which there is no bit in work() always have some.
  [[nodiscard]] bool has_shrink(std::size_t kind) const { return kind >= kKindsInWork || kinds_[kind].shrink_items.count > 0; }
  [[nodiscard]] bool has_expand(std::size_t kind) const { return kind >= kKindsInWork || kinds_[kind].expand_items.count > 0; }
  [[nodiscard]] std::size_t array_bytes() const;
  [[nodiscard]] Status reserve_arrays(std::size_t bytes);
  // Places every array, and what names them.
  void place_arrays();

  DeviceApi& device_;
  AdapterTables& tables_;
  const std::int32_t multiprocessors_;
  SiteLists lists_;
  std::vector<SiteLists::Parts> kinds_;
  std::vector<Batch> batches_;
  std::array<Attend, kAttendMax> attends_;
  std::size_t attend_count_ = 0;
  std::vector<std::int32_t> span_order_;  // of the spans being added
  Buffer device_heads_;                   // Heads
  Buffer device_arrays_;
  Buffer host_heads_, host_arrays_;                // page-locked
  const ScaleItem* device_scale_items_ = nullptr;  // in device_arrays_
};

}  // namespace slora::cuda
