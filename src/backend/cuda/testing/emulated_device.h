#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "backend/cuda/device_api.h"
#include "backend/cuda/testing/emulated_queues.h"
#include "kernels/cuda/emulator/device.h"

namespace slora::cuda {

class EmulatedStream;

enum class DeviceFaultKind : std::uint8_t {
  pageable_memory,    // an enqueueing call names memory of the host that is not page-locked: it would wait
  not_device_memory,  // a call names bytes that are not in one live allocation of the device
  freed_meanwhile,    // memory is not there any more when the work runs
  busy_memory,        // memory is freed that enqueued work will use
  dead_handle,        // a stream, event or graph that was destroyed or never made
  capture,            // a call that has no place in a capture, or streams that do not come together
  host_overwritten,   // bytes next to page-locked memory have changed
  kernel,             // what the emulator found in a kernel
};
[[nodiscard]] std::string_view name_of(DeviceFaultKind kind);

struct DeviceFault {
  DeviceFaultKind kind;
  std::string what;  // with the call's name
};

// A CUDA device without one. Streams hold their work until somebody waits; then it is done in any order that streams and events leave open
// (EmulatedQueues), so that a copy reads its source as late as a device may. Kernels run in the emulator. Memory of the device and
// page-locked memory of the host lie far from everything else, begin as 0xff, and cannot be accessed once they are freed.
// What would be wrong or slow on a device is kept as a fault; work that is wrong when it runs makes all later calls fail, as on a device.
// Owned by a test; any thread may call.
class EmulatedDevice final : public DeviceApi {
 public:
  enum class Pace : std::uint8_t {
    late,      // works only while somebody waits
    anywhere,  // works also when it is given work
  };
  struct Options {
    std::uint64_t seed = 1;
    Pace pace = Pace::late;
    std::size_t memory_bytes = std::size_t{1} << 30;
    // Kernels are compiled for watching (emulator/watch.h). Copies note what they write then, at 100 bytes a byte.
    bool are_kernels_watched = false;
    // A kernel's first launch brings its code to the device, which no capture may wait for.
    bool are_kernels_loaded_lazily = true;
  };
  explicit EmulatedDevice(const Options& options);
  ~EmulatedDevice() override;

  Result<DeviceProperties> properties() override;
  Result<DeviceMemoryBytes> memory() override;
  Result<std::byte*> allocate(std::size_t bytes) override;
  Status free(std::byte* memory) override;
  Result<std::byte*> allocate_host(std::size_t bytes) override;
  Status free_host(std::byte* memory) override;
  Status synchronise(Stream stream) override;
  Result<Stream> make_stream(StreamPriority priority) override;
  Result<Event> make_event() override;
  Status destroy(Stream stream) override;
  Status destroy(Event event) override;
  Status destroy(Graph graph) override;
  Status upload(Stream stream, void* to, const void* from, std::size_t bytes) override;
  Status upload_pieces(Stream stream, std::span<const PieceCopy> pieces) override;
  Status download(Stream stream, void* to, const void* from, std::size_t bytes) override;
  Status copy_rows(Stream stream, const RowCopy& rows) override;
  Status fill_bytes(Stream stream, void* to, std::uint8_t value, std::size_t bytes) override;
  Status record(Event event, Stream stream) override;
  Status wait(Stream stream, Event event) override;
  Result<bool> is_done(Event event) override;
  Result<bool> synchronise(Event event, std::chrono::milliseconds limit) override;
  Status begin_capture(Stream stream) override;
  Result<Graph> end_capture(Stream stream) override;
  Status replay(Graph graph, Stream stream) override;
  Status last_error() override;

  // For tests.
  [[nodiscard]] std::vector<DeviceFault> take_faults();
  // The device's bytes as they are now. Requires: they are in one live allocation.
  void read(void* to, const void* from, std::size_t bytes);
  // Calls from begin_step() to end_step() that wait or may wait for the device, by name, of the thread that called these.
  void begin_step();
  void end_step();
  [[nodiscard]] std::map<std::string, std::int64_t> waiting_calls_in_steps();
  // The device does nothing until it is resumed: calls with a limit run into it. Requires meanwhile: no call without a limit waits.
  void hang();
  void resume();
  // The call with this number, counted from the next one as 0, fails and does nothing. Launches of kernels are no calls.
  void fail_call(std::int64_t number);
  // The device has no memory for graphs, or has some again.
  void refuse_graphs(bool refuses);
  [[nodiscard]] std::int64_t call_count();
  // Allocations, page-locked memory, streams, events and graphs that were made and not yet given back.
  [[nodiscard]] std::int64_t live_count();

 private:
  // What a call does to its caller, or needs.
  enum class Calls : std::uint8_t { enqueues, asks, waits };
  [[nodiscard]] Status enter(const char* call, Calls kind);
  tl::unexpected<Error> fault(DeviceFaultKind kind, const char* call, std::string_view what);
  [[nodiscard]] Status require(const char* call, const std::vector<MemoryUse>& uses);
  [[nodiscard]] bool is_there(const MemoryUse& use);
  [[nodiscard]] Result<std::size_t> begin_free(const char* call, const emulator::DeviceMemory& side, const std::byte* memory);
  [[nodiscard]] Result<EmulatedStream*> find(const char* call, Stream stream);
  [[nodiscard]] Result<EmulatedEvent*> find(const char* call, Event event);
  [[nodiscard]] Result<std::shared_ptr<PieceGraph>> find(const char* call, Graph graph);

  [[nodiscard]] Status enqueue(Stream stream, std::vector<Piece> pieces);
  static void add(EmulatedStream& stream, std::vector<Piece> pieces);
  [[nodiscard]] Status join_capture(EmulatedStream& stream, const EmulatedEvent& event);
  void launch(EmulatedStream& stream, const emulator::GridShape& shape, const emulator::BoundKernel& kernel, const emulator::Place& place);
  void run(const Piece& piece);
  void work_a_little();
  [[nodiscard]] Status end_wait();
  void note_written(const void* address, std::size_t bytes);
  [[nodiscard]] Piece upload_piece(const char* call, void* to, const void* from, std::size_t bytes);

  const Options options_;
  std::mutex mutex_;
  emulator::Device device_;             // guarded by mutex_, as what follows
  emulator::DeviceMemory host_memory_;  // page-locked
  EmulatedQueues queues_;
  std::vector<std::unique_ptr<EmulatedStream>> streams_;
  std::vector<std::unique_ptr<EmulatedEvent>> events_;
  std::vector<std::shared_ptr<PieceGraph>> graphs_;
  std::size_t allocated_bytes_ = 0;
  std::optional<Error> failure_;         // of work that ran
  std::optional<Error> launch_failure_;  // of a launch since last_error()
  std::vector<DeviceFault> faults_;
  // Which were launched: how they are called, and the first word of what they are bound to, which is the kernel's address.
  std::set<std::pair<void (*)(const void*), std::uintptr_t>> loaded_kernels_;
  std::optional<std::thread::id> capturing_;  // the thread that began a capture
  std::map<std::string, std::int64_t> waiting_calls_;
  std::int64_t call_count_ = 0;
  std::int64_t failing_call_ = -1;
  std::int64_t live_count_ = 0;
  std::optional<std::thread::id> in_step_;  // the thread
  bool hangs_ = false;
  bool refuses_graphs_ = false;
};

}  // namespace slora::cuda
