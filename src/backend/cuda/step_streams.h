#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device_api.h"
#include "backend/cuda/device_owners.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// How a backend drives a CUDA device from step to step:
//
//   upload stream     a step's bytes into its slot's memory, while the step before computes
//   compute stream    waits for them; ops one by one, or a graph of them
//   download stream   waits for the ops; results, and the fences of steps
//   copy stream       into pages of the pool, next to all others, since nobody uses these pages meanwhile; the fences of copies
//
// A slot's memory is written again only when the caller has seen the results of its step before, so no stream waits for another's end.
// The functions are those of Backend, which says what they do; errors of the device are thrown as DeviceError. Owned by a backend;
// copy_in() and wait() from any thread, the others from the engine's.
class StepStreams {
 public:
  using Warn = std::function<void(std::string_view)>;  // BackendOptions::warn

  // The device outlives it. `depth`: slots.
  [[nodiscard]] static Result<std::unique_ptr<StepStreams>> create(DeviceApi& device, int depth, Warn warn = {});
  // Waits for all that was enqueued.
  ~StepStreams();
  StepStreams(const StepStreams&) = delete;
  StepStreams& operator=(const StepStreams&) = delete;

  // For ops.
  [[nodiscard]] Stream compute() const { return compute_.get(); }
  // Waits for all that was enqueued.
  void drain() noexcept;

  [[nodiscard]] const std::byte* upload_step(int slot, std::span<const std::byte> bytes);
  // What else belongs to the slot's step, after upload_step(). Requires: no step before that is under way reads or writes this memory.
  void upload_more(int slot, std::span<const PieceCopy> pieces);
  // The first step of a key calls its ops, so that all kernels are on the device when the second step is captured. Where the device has no
  // memory for a graph, the ops of its key are called in every step.
  void replay_step(const StepKey& key, const std::function<void()>& call_ops);
  [[nodiscard]] Fence download_step(std::span<std::byte> to, const std::byte* from);
  [[nodiscard]] Fence mark();
  [[nodiscard]] Fence copy_in(std::span<const CopyIn> copies);
  [[nodiscard]] bool wait(Fence fence, std::chrono::milliseconds limit);

  // Of a step. The address of a slot's bytes depends on how many there are and on nothing else.
  static constexpr std::size_t kStepBytesAtFirst = std::size_t{1} << 20;
  // Keys that are known, each with a graph. Ops of further keys are called in every step.
  static constexpr std::size_t kGraphsMax = 512;

 private:
  struct Slot {
    // For steps of up to kStepBytesAtFirst, of four times as many, and so on; never freed, because graphs name them.
    std::vector<Buffer> sizes;
    Owned<Event> uploaded;
  };
  // The fences of one stream: fence n is done when event n % kEvents is, or when a later fence that took the event over is.
  struct Fences {
    static constexpr std::size_t kEvents = 16;

    std::array<Owned<Event>, kEvents> events;
    std::uint64_t recorded = 0;          // the latest
    std::atomic<std::uint64_t> done{0};  // the latest that is known to be done
  };
  // What is known of a key.
  struct KnownStep {
    Owned<Graph> graph;  // of the second step and those after it
    bool may_have_graph = true;
  };
  StepStreams(DeviceApi& device, Warn warn) : device_(device), warn_(std::move(warn)) {}
  [[nodiscard]] Status make(int depth);
  [[nodiscard]] Status make_fences(Fences& fences);
  // No graph if the device has no memory for it.
  [[nodiscard]] Owned<Graph> capture(const std::function<void()>& call_ops);
  void warn_once(bool& is_warned, const std::string& what);
  // Makes the download stream wait for all ops that were called.
  void order_download();
  [[nodiscard]] Fence record(Fences& fences, Stream stream, Fence::Queue queue);

  DeviceApi& device_;
  Owned<Stream> upload_, compute_, download_, copy_;
  std::vector<Slot> slots_;  // [depth]
  Owned<Event> computed_;
  std::map<StepKey, KnownStep> known_steps_;
  const Warn warn_;  // may be empty
  bool warned_of_memory_ = false, warned_of_kinds_ = false;
  Fences steps_;
  std::mutex copies_mutex_;
  Fences copies_;                  // `recorded` is guarded by copies_mutex_
  std::vector<PieceCopy> pieces_;  // of one call, guarded by copies_mutex_
};

}  // namespace slora::cuda
