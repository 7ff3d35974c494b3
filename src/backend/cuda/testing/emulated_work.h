#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

namespace slora::cuda {

// Memory that a piece of work reads or writes, as far as the call told: kernels do not say.
struct MemoryUse {
  enum class Side : std::uint8_t { host, device } side;
  const void* address;
  std::size_t bytes;
};

// What an emulated device does at once.
struct Piece {
  const char* call;  // that enqueued it
  std::vector<MemoryUse> uses;
  std::function<void()> run;
};

// Pieces and the order that they leave open: a piece runs after those of its list.
struct PieceGraph {
  struct Node {
    Piece piece;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
  bool is_live = true;
};

// A graph that is being made of what several streams are given.
struct Capture {
  std::shared_ptr<PieceGraph> graph = std::make_shared<PieceGraph>();
  bool is_active = true;
};

struct EmulatedEvent {
  std::uint64_t recorded = 0;         // how many times
  std::uint64_t done = 0;             // the latest of them that is done
  std::shared_ptr<Capture> capture;   // in which it was recorded last, or null
  std::vector<std::size_t> captured;  // what it waits for there
  bool is_live = true;
};

// What a stream holds, one after the other.
struct RecordEvent {
  EmulatedEvent* event;
  std::uint64_t number;
};
struct WaitForEvent {
  EmulatedEvent* event;
  std::uint64_t number;
};
struct RunGraph {
  std::shared_ptr<const PieceGraph> graph;
  std::vector<bool> done{};  // [nodes], filled when it starts
  std::size_t done_count = 0;
};
using Work = std::variant<RecordEvent, WaitForEvent, RunGraph>;

}  // namespace slora::cuda
