#pragma once
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/cuda/testing/emulated_work.h"
#include "kernels/cuda/emulator/random.h"

namespace slora::cuda {

// The work of several streams, done a piece at a time in any order that a device may choose: a stream's work one after the other, streams
// among one another only as events say, the pieces of a graph as its edges say. Which piece is next is drawn; for a while one stream may be
// slow, so that it runs only when the others cannot. Used under its owner's lock.
class EmulatedQueues {
 public:
  using Queue = std::deque<Work>;

  EmulatedQueues(std::uint64_t seed, std::function<void(const Piece&)> run) : random_(seed), run_(std::move(run)) {}

  [[nodiscard]] Queue& make_queue() { return *queues_.emplace_back(std::make_unique<Queue>()); }
  // Does one piece, or passes an event. Returns whether there was anything that could be done.
  bool run_piece();
  // Until the queue is empty, until all are.
  void drain(const Queue& queue);
  void drain();
  // Is there work left that reads or writes any of these bytes? Kernels do not say what they use.
  [[nodiscard]] bool are_used(const void* address, std::size_t bytes) const;

  [[nodiscard]] emulator::Random& random() { return random_; }

 private:
  [[nodiscard]] Queue* draw_queue();
  bool run_node(RunGraph& work);

  emulator::Random random_;
  std::function<void(const Piece&)> run_;
  std::vector<std::unique_ptr<Queue>> queues_;  // their addresses do not change
  std::vector<Queue*> ready_;                   // of one draw
  const Queue* slow_ = nullptr;
};

}  // namespace slora::cuda
