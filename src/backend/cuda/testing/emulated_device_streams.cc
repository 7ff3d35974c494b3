// Streams, events and graphs of the emulated device, and what is enqueued in them.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "backend/cuda/testing/emulated_device.h"
#include "backend/cuda/testing/emulated_stream.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

MemoryUse on_host(const void* address, std::size_t bytes) { return {MemoryUse::Side::host, address, bytes}; }
MemoryUse on_device(const void* address, std::size_t bytes) { return {MemoryUse::Side::device, address, bytes}; }

Event handle_of(EmulatedEvent* event) { return reinterpret_cast<Event>(event); }
Graph handle_of(PieceGraph* graph) { return reinterpret_cast<Graph>(graph); }

}  // namespace

Result<EmulatedStream*> EmulatedDevice::find(const char* call, Stream stream) {
  for (const std::unique_ptr<EmulatedStream>& known : streams_) {
    if (known->stream() == stream && known->is_live) return known.get();
  }
  return fault(DeviceFaultKind::dead_handle, call, "expected a stream");
}
Result<EmulatedEvent*> EmulatedDevice::find(const char* call, Event event) {
  for (const std::unique_ptr<EmulatedEvent>& known : events_) {
    if (handle_of(known.get()) == event && known->is_live) return known.get();
  }
  return fault(DeviceFaultKind::dead_handle, call, "expected an event");
}
Result<std::shared_ptr<PieceGraph>> EmulatedDevice::find(const char* call, Graph graph) {
  for (const std::shared_ptr<PieceGraph>& known : graphs_) {
    if (handle_of(known.get()) == graph && known->is_live) return known;
  }
  return fault(DeviceFaultKind::dead_handle, call, "expected a graph");
}

Result<Stream> EmulatedDevice::make_stream(StreamPriority) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("make_stream", Calls::waits); !entered) return forward_error(entered);
  ++live_count_;
  const auto launch_into = [this](EmulatedStream& stream, const emulator::GridShape& shape, const emulator::BoundKernel& kernel,
                                  const emulator::Place& place) { launch(stream, shape, kernel, place); };
  return streams_.emplace_back(std::make_unique<EmulatedStream>(queues_.make_queue(), launch_into))->stream();
}
Result<Event> EmulatedDevice::make_event() {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("make_event", Calls::waits); !entered) return forward_error(entered);
  ++live_count_;
  return handle_of(events_.emplace_back(std::make_unique<EmulatedEvent>()).get());
}

Status EmulatedDevice::destroy(Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("destroy stream", Calls::waits); !entered) return entered;
  Result<EmulatedStream*> found = find("destroy stream", stream);
  if (!found) return forward_error(found);
  (*found)->is_live = false;  // its work stays in the queue
  --live_count_;
  return {};
}
Status EmulatedDevice::destroy(Event event) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("destroy event", Calls::waits); !entered) return entered;
  Result<EmulatedEvent*> found = find("destroy event", event);
  if (!found) return forward_error(found);
  (*found)->is_live = false;
  --live_count_;
  return {};
}
Status EmulatedDevice::destroy(Graph graph) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("destroy graph", Calls::waits); !entered) return entered;
  Result<std::shared_ptr<PieceGraph>> found = find("destroy graph", graph);
  if (!found) return forward_error(found);
  (*found)->is_live = false;
  --live_count_;
  return {};
}

// Pieces that may run in any order, behind what is in the stream.
Status EmulatedDevice::enqueue(Stream stream, std::vector<Piece> pieces) {
  if (pieces.empty()) return {};
  Result<EmulatedStream*> found = find(pieces.front().call, stream);
  if (!found) return forward_error(found);
  for (const Piece& piece : pieces) {
    if (Status required = require(piece.call, piece.uses); !required) return required;
  }
  add(**found, std::move(pieces));
  return {};
}

void EmulatedDevice::add(EmulatedStream& stream, std::vector<Piece> pieces) {
  auto graph = stream.capture != nullptr ? stream.capture->graph : std::make_shared<PieceGraph>();
  std::vector<std::size_t> added;
  for (Piece& piece : pieces) {
    added.push_back(graph->nodes.size());
    graph->nodes.push_back({std::move(piece), stream.last});
  }
  if (stream.capture != nullptr) {
    stream.last = std::move(added);
  } else {
    stream.queue.push_back(RunGraph{std::move(graph)});
  }
}

void EmulatedDevice::launch(EmulatedStream& stream, const emulator::GridShape& shape, const emulator::BoundKernel& kernel,
                            const emulator::Place& place) {
  const std::lock_guard lock(mutex_);
  if (!stream.is_live) {
    launch_failure_ = fault(DeviceFaultKind::dead_handle, "launch", "expected a stream").value();
    return;
  }
  std::uintptr_t address = 0;
  std::memcpy(&address, kernel.bound, sizeof(address));
  if (loaded_kernels_.emplace(kernel.call, address).second && options_.are_kernels_loaded_lazily && stream.capture != nullptr) {
    launch_failure_ = fault(DeviceFaultKind::capture, "launch", "of a kernel that was never launched before").value();
    return;
  }
  if (options_.pace == Pace::anywhere) work_a_little();
  std::vector<std::max_align_t> parameters((kernel.bound_bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
  std::memcpy(parameters.data(), kernel.bound, kernel.bound_bytes);
  const auto run_kernel = [this, shape, kernel, place, parameters = std::move(parameters)] {
    emulator::BoundKernel mine = kernel;
    mine.bound = parameters.data();
    device_.launch(shape, mine, place);
  };
  add(stream, {Piece{"launch", {}, run_kernel}});
}

// By a copy or a fill.
void EmulatedDevice::note_written(const void* address, std::size_t bytes) {
  if (options_.are_kernels_watched) device_.watch().host_wrote(address, bytes);
}

Piece EmulatedDevice::upload_piece(const char* call, void* to, const void* from, std::size_t bytes) {
  return {call, {on_device(to, bytes), on_host(from, bytes)}, [=, this] {
            std::memcpy(to, from, bytes);
            note_written(to, bytes);
          }};
}
Status EmulatedDevice::upload(Stream stream, void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("upload", Calls::enqueues); !entered) return entered;
  return enqueue(stream, {upload_piece("upload", to, from, bytes)});
}
Status EmulatedDevice::upload_pieces(Stream stream, std::span<const PieceCopy> pieces) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("upload_pieces", Calls::enqueues); !entered) return entered;
  Result<EmulatedStream*> found = find("upload_pieces", stream);
  if (!found) return forward_error(found);
  if ((*found)->capture != nullptr) return fault(DeviceFaultKind::capture, "upload_pieces", "in a stream that is captured");
  std::vector<Piece> uploads;
  for (const PieceCopy& piece : pieces) uploads.push_back(upload_piece("upload_pieces", piece.to, piece.from, piece.bytes));
  return enqueue(stream, std::move(uploads));
}
Status EmulatedDevice::download(Stream stream, void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("download", Calls::enqueues); !entered) return entered;
  return enqueue(stream, {{"download", {on_host(to, bytes), on_device(from, bytes)}, [=] { std::memcpy(to, from, bytes); }}});
}
Status EmulatedDevice::copy_rows(Stream stream, const RowCopy& rows) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("copy_rows", Calls::enqueues); !entered) return entered;
  if (rows.rows == 0 || rows.row_bytes == 0) return {};
  const auto bytes_with = [&](std::size_t stride) { return (rows.rows - 1) * stride + rows.row_bytes; };
  const auto run = [=, this] {
    for (std::size_t row = 0; row < rows.rows; ++row) {
      std::byte* const to = static_cast<std::byte*>(rows.to) + row * rows.to_stride;
      std::memmove(to, static_cast<const std::byte*>(rows.from) + row * rows.from_stride, rows.row_bytes);
      note_written(to, rows.row_bytes);
    }
  };
  return enqueue(
      stream, {{"copy_rows", {on_device(rows.to, bytes_with(rows.to_stride)), on_device(rows.from, bytes_with(rows.from_stride))}, run}});
}
Status EmulatedDevice::fill_bytes(Stream stream, void* to, std::uint8_t value, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("fill_bytes", Calls::enqueues); !entered) return entered;
  return enqueue(stream, {{"fill_bytes", {on_device(to, bytes)}, [=, this] {
                             std::memset(to, value, bytes);
                             note_written(to, bytes);
                           }}});
}

Status EmulatedDevice::record(Event event, Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("record", Calls::enqueues); !entered) return entered;
  Result<EmulatedStream*> from = find("record", stream);
  if (!from) return forward_error(from);
  Result<EmulatedEvent*> into = find("record", event);
  if (!into) return forward_error(into);
  (*into)->capture = (*from)->capture;
  (*into)->captured = (*from)->last;
  if ((*from)->capture == nullptr) (*from)->queue.push_back(RecordEvent{*into, ++(*into)->recorded});
  return {};
}

Status EmulatedDevice::wait(Stream stream, Event event) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("wait", Calls::enqueues); !entered) return entered;
  Result<EmulatedStream*> found = find("wait", stream);
  if (!found) return forward_error(found);
  Result<EmulatedEvent*> of = find("wait", event);
  if (!of) return forward_error(of);
  if ((*of)->capture != nullptr || (*found)->capture != nullptr) return join_capture(**found, **of);
  (*found)->queue.push_back(WaitForEvent{*of, (*of)->recorded});
  return {};
}

Status EmulatedDevice::join_capture(EmulatedStream& stream, const EmulatedEvent& event) {
  if (event.capture == nullptr || !event.capture->is_active || (stream.capture != nullptr && stream.capture != event.capture)) {
    return fault(DeviceFaultKind::capture, "wait", "expected stream and event in the same capture");
  }
  stream.capture = event.capture;
  for (const std::size_t node : event.captured) {
    if (std::ranges::find(stream.last, node) == stream.last.end()) stream.last.push_back(node);
  }
  return {};
}

Result<bool> EmulatedDevice::is_done(Event event) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("is_done", Calls::asks); !entered) return forward_error(entered);
  Result<EmulatedEvent*> found = find("is_done", event);
  if (!found) return forward_error(found);
  if ((*found)->capture != nullptr) return fault(DeviceFaultKind::capture, "is_done", "of an event that was recorded in a capture");
  work_a_little();
  if (failure_) return tl::unexpected<Error>(*failure_);
  return (*found)->done >= (*found)->recorded;
}

// Pieces take 0 to 3 ms of an emulated time, which passes only while somebody waits.
Result<bool> EmulatedDevice::synchronise(Event event, std::chrono::milliseconds limit) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("synchronise event", Calls::waits); !entered) return forward_error(entered);
  Result<EmulatedEvent*> found = find("synchronise event", event);
  if (!found) return forward_error(found);
  EmulatedEvent& awaited = **found;
  if (awaited.capture != nullptr) return fault(DeviceFaultKind::capture, "synchronise event", "of an event that was recorded in a capture");
  for (std::int64_t left_ms = limit.count(); awaited.done < awaited.recorded; left_ms -= queues_.random().below(4)) {
    if (hangs_ || left_ms < 0) return false;
    check(queues_.run_piece(), "expected work that waits for no event that is never recorded");
  }
  if (Status ended = end_wait(); !ended) return forward_error(ended);
  return true;
}

Status EmulatedDevice::synchronise(Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("synchronise stream", Calls::waits); !entered) return entered;
  Result<EmulatedStream*> found = find("synchronise stream", stream);
  if (!found) return forward_error(found);
  if ((*found)->capture != nullptr) return fault(DeviceFaultKind::capture, "synchronise stream", "of a stream that is captured");
  check(!hangs_, "expected no call without a limit that waits for a device that hangs");
  queues_.drain((*found)->queue);
  return end_wait();
}

Status EmulatedDevice::begin_capture(Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("begin_capture", Calls::asks); !entered) return entered;
  Result<EmulatedStream*> found = find("begin_capture", stream);
  if (!found) return forward_error(found);
  if ((*found)->capture != nullptr || capturing_) return fault(DeviceFaultKind::capture, "begin_capture", "one capture at a time");
  (*found)->capture = std::make_shared<Capture>();
  (*found)->began_capture = true;
  capturing_ = std::this_thread::get_id();
  return {};
}

Result<Graph> EmulatedDevice::end_capture(Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("end_capture", Calls::asks); !entered) return forward_error(entered);
  Result<EmulatedStream*> found = find("end_capture", stream);
  if (!found) return forward_error(found);
  if (!(*found)->began_capture) return fault(DeviceFaultKind::capture, "end_capture", "expected the stream that began the capture");
  const std::shared_ptr<Capture> capture = std::move((*found)->capture);
  std::vector<std::size_t> leaves = (*found)->last;  // and what they run after
  std::vector<bool> is_joined(capture->graph->nodes.size());
  while (!leaves.empty()) {
    const std::size_t node = leaves.back();
    leaves.pop_back();
    if (is_joined[node]) continue;
    is_joined[node] = true;
    std::ranges::copy(capture->graph->nodes[node].after, std::back_inserter(leaves));
  }
  (*found)->began_capture = false;
  (*found)->last.clear();
  for (const std::unique_ptr<EmulatedStream>& other : streams_) {
    if (other->capture != capture) continue;
    other->capture = nullptr;
    other->last.clear();
  }
  capture->is_active = false;
  capturing_.reset();
  if (!std::ranges::all_of(is_joined, [](bool joined) { return joined; })) {
    return fault(DeviceFaultKind::capture, "end_capture", "a stream that took part was not waited for");
  }
  if (refuses_graphs_) return error(std::string(kNoMemory), "end_capture: no memory for the graph, as a test asked for");
  ++live_count_;
  return handle_of(graphs_.emplace_back(capture->graph).get());
}

Status EmulatedDevice::replay(Graph graph, Stream stream) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("replay", Calls::enqueues); !entered) return entered;
  Result<EmulatedStream*> found = find("replay", stream);
  if (!found) return forward_error(found);
  Result<std::shared_ptr<PieceGraph>> of = find("replay", graph);
  if (!of) return forward_error(of);
  if ((*found)->capture != nullptr) return fault(DeviceFaultKind::capture, "replay", "in a stream that is captured");
  (*found)->queue.push_back(RunGraph{*of});
  return {};
}

Status EmulatedDevice::last_error() {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("last_error", Calls::asks); !entered) return entered;
  if (launch_failure_) return tl::unexpected<Error>(*std::exchange(launch_failure_, std::nullopt));
  return {};
}

}  // namespace slora::cuda
