#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device_api.h"
#include "backend/cuda/step_streams.h"
#include "backend/cuda/work_lists.h"

namespace slora::cuda {

// Finds the lists of work for ops: those that were made for the step before its ops were called or, for ops with other arrays, such as
// those of a test, lists that are made at once. The latter waits for the device. Owned by a backend, used by the engine thread.
class ListSource {
 public:
  // The device and the streams outlive it. `depth`: slots.
  [[nodiscard]] static Result<std::unique_ptr<ListSource>> create(DeviceApi& device, StepStreams& streams, int depth,
                                                                  std::int32_t multiprocessors);

  // Of the model whose steps are prepared: the shapes of its attention, the layers that an adapter may change, the rows of its largest
  // step.
  struct Model {
    std::vector<AttendShape> attention;
    std::int64_t layers;
    std::int64_t step_rows_max;
  };
  // Without, no lists of attention are prepared, and memory grows when it must.
  [[nodiscard]] Status prepare_model(Model model);

  // The step's arrays come: no lists are known until prepare().
  void begin_step() { prepared_ = nullptr; }
  // Returns what of the answers below depends on more than the step's shape.
  std::uint32_t prepare(int slot, const StepWork& work);

  // Whether the step that was prepared may be replayed for others with its key, and these for it.
  [[nodiscard]] bool may_replay() const { return prepared_ == nullptr || !prepared_->scales_rows(); }

  [[nodiscard]] WorkLists::OfSpans find(const SpanBatch& spans, const AttendShape& shape);
  [[nodiscard]] WorkLists::OfSite find(const AdapterBatch& adapters, Site site);

 private:
  // Of adapters that steps use by turns. A table takes tens of KiB here, and of the upload of a step when it has to be made again.
  static constexpr std::size_t kTablesReserved = 2048;

  ListSource(DeviceApi& device, StepStreams& streams, int depth)
      : device_(device), streams_(streams), tables_(device), steps_of_slots_(static_cast<std::size_t>(depth), ~std::uint64_t{0}) {}
  // Lists for one op, when the device has read those of the op before.
  [[nodiscard]] WorkLists& begin_single();
  void finish_single();

  DeviceApi& device_;
  StepStreams& streams_;
  AdapterTables tables_;
  std::uint64_t step_count_ = 0;
  std::vector<std::uint64_t> steps_of_slots_;         // [depth] each one's latest step; at first none
  std::vector<std::unique_ptr<WorkLists>> of_slots_;  // [depth]
  std::unique_ptr<WorkLists> single_;
  WorkLists* prepared_ = nullptr;  // of the step whose ops are called
  std::vector<AttendShape> shapes_;
};

}  // namespace slora::cuda
