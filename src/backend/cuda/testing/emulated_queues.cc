#include "backend/cuda/testing/emulated_queues.h"

#include <algorithm>

#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::uint32_t kPiecesOfSlowness = 8;  // on average, after which another stream is slow, or none

bool is_blocked(const Work& work) {
  const auto* const wait = std::get_if<WaitForEvent>(&work);
  return wait != nullptr && wait->event->done < wait->number;
}

bool overlap(const MemoryUse& use, const void* address, std::size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(address);
  const auto* const used = static_cast<const std::byte*>(use.address);
  return used < begin + bytes && begin < used + use.bytes;
}

}  // namespace

EmulatedQueues::Queue* EmulatedQueues::draw_queue() {
  ready_.clear();
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (!queue->empty() && !is_blocked(queue->front())) ready_.push_back(queue.get());
  }
  if (ready_.empty()) return nullptr;
  if (random_.one_in(kPiecesOfSlowness)) {
    slow_ = random_.one_in(3) ? nullptr : queues_[random_.below(static_cast<std::uint32_t>(queues_.size()))].get();
  }
  if (ready_.size() > 1) std::erase(ready_, slow_);
  return ready_[random_.below(static_cast<std::uint32_t>(ready_.size()))];
}

bool EmulatedQueues::run_piece() {
  Queue* const queue = draw_queue();
  if (queue == nullptr) return false;
  Work& work = queue->front();
  bool is_finished = true;
  if (const auto* const record = std::get_if<RecordEvent>(&work)) {
    record->event->done = std::max(record->event->done, record->number);
  } else if (auto* const graph = std::get_if<RunGraph>(&work)) {
    is_finished = run_node(*graph);
  }
  if (is_finished) queue->pop_front();
  return true;
}

// Returns whether it was the last.
bool EmulatedQueues::run_node(RunGraph& work) {
  const std::vector<PieceGraph::Node>& nodes = work.graph->nodes;
  work.done.resize(nodes.size());
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!work.done[i] && std::ranges::all_of(nodes[i].after, [&](std::size_t before) { return work.done[before]; })) ready.push_back(i);
  }
  if (ready.empty()) return true;  // a graph of nothing
  const std::size_t drawn = ready[random_.below(static_cast<std::uint32_t>(ready.size()))];
  run_(nodes[drawn].piece);
  work.done[drawn] = true;
  return ++work.done_count == nodes.size();
}

void EmulatedQueues::drain(const Queue& queue) {
  while (!queue.empty()) check(run_piece(), "expected work that waits for no event that is never recorded");
}
void EmulatedQueues::drain() {
  for (const std::unique_ptr<Queue>& queue : queues_) drain(*queue);
}

bool EmulatedQueues::are_used(const void* address, std::size_t bytes) const {
  for (const std::unique_ptr<Queue>& queue : queues_) {
    for (const Work& work : *queue) {
      const auto* const graph = std::get_if<RunGraph>(&work);
      if (graph == nullptr) continue;
      for (std::size_t i = 0; i < graph->graph->nodes.size(); ++i) {
        if (i < graph->done.size() && graph->done[i]) continue;
        for (const MemoryUse& use : graph->graph->nodes[i].piece.uses) {
          if (overlap(use, address, bytes)) return true;
        }
      }
    }
  }
  return false;
}

}  // namespace slora::cuda
