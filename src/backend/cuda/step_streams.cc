#include "backend/cuda/step_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "backend/cuda/require.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

template <class Handle>
Status keep(Owned<Handle>& owner, DeviceApi& device, Result<Handle> made) {
  if (!made) return forward_error(made);
  owner = Owned<Handle>(device, *made);
  return {};
}

}  // namespace

Result<std::unique_ptr<StepStreams>> StepStreams::create(DeviceApi& device, int depth, Warn warn) {
  std::unique_ptr<StepStreams> streams(new StepStreams(device, std::move(warn)));
  if (Status made = streams->make(depth); !made) return forward_error(made);
  return streams;
}

StepStreams::~StepStreams() { drain(); }

void StepStreams::drain() noexcept {
  for (const Owned<Stream>* const stream : {&upload_, &compute_, &download_, &copy_}) {
    if (stream->get() != nullptr) static_cast<void>(device_.synchronise(stream->get()));
  }
}

Status StepStreams::make(int depth) {
  // Steps before copies: a load may take longer, a step may not.
  for (const auto& [owner, priority] : {std::pair{&upload_, StreamPriority::high}, std::pair{&compute_, StreamPriority::high},
                                        std::pair{&download_, StreamPriority::high}, std::pair{&copy_, StreamPriority::normal}}) {
    if (Status made = keep(*owner, device_, device_.make_stream(priority)); !made) return made;
  }
  for (int slot = 0; slot < depth; ++slot) {
    Slot& made = slots_.emplace_back();
    Result<Buffer> memory = allocate_buffer(device_, kStepBytesAtFirst);
    if (!memory) return forward_error(memory);
    made.sizes.push_back(*std::move(memory));
    if (Status event = keep(made.uploaded, device_, device_.make_event()); !event) return event;
  }
  if (Status made = keep(computed_, device_, device_.make_event()); !made) return made;
  if (Status made = make_fences(steps_); !made) return made;
  return make_fences(copies_);
}

Status StepStreams::make_fences(Fences& fences) {
  for (Owned<Event>& event : fences.events) {
    if (Status made = keep(event, device_, device_.make_event()); !made) return made;
  }
  return {};
}

const std::byte* StepStreams::upload_step(int slot, std::span<const std::byte> bytes) {
  check(slot >= 0 && std::cmp_less(slot, slots_.size()), "expected one of the slots");
  Slot& mine = slots_[static_cast<std::size_t>(slot)];
  std::size_t size = 0;
  for (std::size_t most = kStepBytesAtFirst; most < bytes.size(); most *= 4) ++size;
  for (std::size_t i = mine.sizes.size(); i <= size; ++i) {  // rare: it waits for the device
    mine.sizes.push_back(require_value(allocate_buffer(device_, kStepBytesAtFirst << (2 * i))));
  }
  std::byte* const to = mine.sizes[size].data();
  if (!bytes.empty()) require_done(device_.upload(upload_.get(), to, bytes.data(), bytes.size()));
  require_done(device_.record(mine.uploaded.get(), upload_.get()));
  require_done(device_.wait(compute_.get(), mine.uploaded.get()));
  return to;
}

void StepStreams::upload_more(int slot, std::span<const PieceCopy> pieces) {
  const Slot& mine = slots_[static_cast<std::size_t>(slot)];
  for (const PieceCopy& piece : pieces) {
    if (piece.bytes > 0) require_done(device_.upload(upload_.get(), piece.to, piece.from, piece.bytes));
  }
  require_done(device_.record(mine.uploaded.get(), upload_.get()));
  require_done(device_.wait(compute_.get(), mine.uploaded.get()));
}

void StepStreams::replay_step(const StepKey& key, const std::function<void()>& call_ops) {
  const auto found = known_steps_.find(key);
  if (found == known_steps_.end()) {
    call_ops();
    if (known_steps_.size() < kGraphsMax) {
      known_steps_.emplace(key, KnownStep{});
    } else {
      warn_once(warned_of_kinds_,
                fmt::format("steps of more than {} kinds: further ones are computed without graphs, and take longer", kGraphsMax));
    }
    return;
  }
  KnownStep& known = found->second;
  if (known.graph.get() == nullptr && known.may_have_graph) {
    known.graph = capture(call_ops);
    known.may_have_graph = known.graph.get() != nullptr;
  }
  if (!known.may_have_graph) return call_ops();
  require_done(device_.replay(known.graph.get(), compute_.get()));
}

Owned<Graph> StepStreams::capture(const std::function<void()>& call_ops) {
  require_done(device_.begin_capture(compute_.get()));
  try {
    call_ops();
  } catch (...) {  // or the stream would record what follows
    if (const Result<Graph> graph = device_.end_capture(compute_.get())) static_cast<void>(device_.destroy(*graph));
    throw;
  }
  Result<Graph> graph = device_.end_capture(compute_.get());
  if (!graph && graph.error().code == kNoMemory) {
    warn_once(warned_of_memory_, fmt::format("steps whose graphs find no memory on the device are computed without, and take longer: {}",
                                             graph.error().message));
    return {};
  }
  return {device_, require_value(std::move(graph))};
}

void StepStreams::warn_once(bool& is_warned, const std::string& what) {
  if (!std::exchange(is_warned, true) && warn_) warn_(what);
}

void StepStreams::order_download() {
  require_done(device_.last_error());  // of the ops' launches
  require_done(device_.record(computed_.get(), compute_.get()));
  require_done(device_.wait(download_.get(), computed_.get()));
}

Fence StepStreams::record(Fences& fences, Stream stream, Fence::Queue queue) {
  const std::uint64_t number = fences.recorded + 1;
  require_done(device_.record(fences.events[number % Fences::kEvents].get(), stream));
  fences.recorded = number;
  return {number, queue};
}

Fence StepStreams::download_step(std::span<std::byte> to, const std::byte* from) {
  order_download();
  if (!to.empty()) require_done(device_.download(download_.get(), to.data(), from, to.size()));
  return record(steps_, download_.get(), Fence::Queue::steps);
}

Fence StepStreams::mark() {
  order_download();
  return record(steps_, download_.get(), Fence::Queue::steps);
}

Fence StepStreams::copy_in(std::span<const CopyIn> copies) {
  const std::lock_guard lock(copies_mutex_);
  pieces_.clear();
  for (const CopyIn& copy : copies) {
    if (copy.bytes > 0) pieces_.push_back({copy.to, copy.from, copy.bytes});
  }
  if (!pieces_.empty()) require_done(device_.upload_pieces(copy_.get(), pieces_));
  return record(copies_, copy_.get(), Fence::Queue::copies);
}

bool StepStreams::wait(Fence fence, std::chrono::milliseconds limit) {
  Fences& fences = fence.queue == Fence::Queue::steps ? steps_ : copies_;
  if (fence.number <= fences.done) return true;
  if (!require_value(device_.synchronise(fences.events[fence.number % Fences::kEvents].get(), limit))) return false;
  std::uint64_t known = fences.done;
  while (known < fence.number && !fences.done.compare_exchange_weak(known, fence.number)) continue;
  return true;
}

}  // namespace slora::cuda
