#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernels/cuda/stream.h"

struct CUevent_st;      // the type behind cudaEvent_t
struct CUgraphExec_st;  // the type behind cudaGraphExec_t

namespace slora::cuda {

// The code of an error of a device that has no memory for what was asked for, and goes on without.
inline constexpr std::string_view kNoMemory = "E_DEVICE_MEMORY";

using Event = CUevent_st*;
using Graph = CUgraphExec_st*;

struct DeviceProperties {
  std::string name;
  std::int32_t multiprocessors = 0;
  std::int32_t major = 0, minor = 0;  // of the compute capability
  std::size_t shared_bytes_max = 0;   // of a block that asks for it
};

struct DeviceMemoryBytes {
  std::size_t free = 0;  // by all processes
  std::size_t total = 0;
};

// When several streams have work: that of `high` starts first.
enum class StreamPriority : std::uint8_t { normal, high };

// From page-locked memory of the host into memory of the device.
struct PieceCopy {
  void* to;
  const void* from;
  std::size_t bytes;
};

// Rows of `row_bytes` each, from so many bytes to the next.
struct RowCopy {
  void* to;
  std::size_t to_stride;
  const void* from;
  std::size_t from_stride;
  std::size_t row_bytes;
  std::size_t rows;
};

// One CUDA device as a backend uses it. Implemented by the CUDA runtime, and by an emulated device in tests. Every call may fail with
// E_DEVICE or kNoMemory, and a message that names the call; after an error of work that ran on the device all calls fail. Any thread may
// call; the order of work in one stream is that of the calls.
//
// Enqueueing calls return before the work is done, and read what they point to when it runs: memory that they name may be freed, reused or
// written by the host only when an event recorded behind it is done. Kernels are enqueued by their launchers, which take a Stream
// (kernels/cuda).
class DeviceApi {
 public:
  virtual ~DeviceApi() = default;

  [[nodiscard]] virtual Result<DeviceProperties> properties() = 0;

  // These may wait for everything that the device does: outside of steps only.
  [[nodiscard]] virtual Result<DeviceMemoryBytes> memory() = 0;
  // Memory of the device, at a multiple of 256, of no particular content. Requires: bytes > 0.
  [[nodiscard]] virtual Result<std::byte*> allocate(std::size_t bytes) = 0;
  [[nodiscard]] virtual Status free(std::byte* memory) = 0;
  // Page-locked memory of the host, of no particular content. Requires: bytes > 0.
  [[nodiscard]] virtual Result<std::byte*> allocate_host(std::size_t bytes) = 0;
  [[nodiscard]] virtual Status free_host(std::byte* memory) = 0;
  // Returns when all work in the stream is done.
  [[nodiscard]] virtual Status synchronise(Stream stream) = 0;

  // Streams order nothing among one another, except by events.
  [[nodiscard]] virtual Result<Stream> make_stream(StreamPriority priority) = 0;
  [[nodiscard]] virtual Result<Event> make_event() = 0;
  // Work that was enqueued is still done.
  [[nodiscard]] virtual Status destroy(Stream stream) = 0;
  [[nodiscard]] virtual Status destroy(Event event) = 0;
  [[nodiscard]] virtual Status destroy(Graph graph) = 0;

  // Enqueueing calls. Memory of the host must be page-locked: other memory would make the call wait.
  [[nodiscard]] virtual Status upload(Stream stream, void* to, const void* from, std::size_t bytes) = 0;
  // The pieces in any order. Not in a capture.
  [[nodiscard]] virtual Status upload_pieces(Stream stream, std::span<const PieceCopy> pieces) = 0;
  [[nodiscard]] virtual Status download(Stream stream, void* to, const void* from, std::size_t bytes) = 0;
  // Within the device. Requires: the rows do not overlap.
  [[nodiscard]] virtual Status copy_rows(Stream stream, const RowCopy& rows) = 0;
  [[nodiscard]] virtual Status fill_bytes(Stream stream, void* to, std::uint8_t value, std::size_t bytes) = 0;

  // The event is done when all work that is in the stream now is done. What was recorded in it before is forgotten, except by those who
  // wait for it already.
  [[nodiscard]] virtual Status record(Event event, Stream stream) = 0;
  // Work that is enqueued from here on starts when what is recorded in the event now is done. An event in which nothing was recorded is
  // done.
  [[nodiscard]] virtual Status wait(Stream stream, Event event) = 0;
  [[nodiscard]] virtual Result<bool> is_done(Event event) = 0;
  // Waits until the event is done, or for this long; returns whether it is done.
  [[nodiscard]] virtual Result<bool> synchronise(Event event, std::chrono::milliseconds limit) = 0;

  // What is enqueued in the stream from begin_capture() to end_capture() is not done but becomes a graph, with all arguments as they are
  // now. A stream that waits for an event recorded meanwhile takes part, and the first one must wait for it before the end. One capture at
  // a time; its thread makes only enqueueing calls meanwhile.
  // A kernel that was never launched before may not be captured: its code is not on the device yet.
  [[nodiscard]] virtual Status begin_capture(Stream stream) = 0;
  // Ends the capture also when it fails; with kNoMemory, nothing else has.
  [[nodiscard]] virtual Result<Graph> end_capture(Stream stream) = 0;
  // Enqueues the graph as one piece of work of the stream.
  [[nodiscard]] virtual Status replay(Graph graph, Stream stream) = 0;

  // Of a launch before: launchers return nothing.
  [[nodiscard]] virtual Status last_error() = 0;
};

}  // namespace slora::cuda
