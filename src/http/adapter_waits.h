#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/gate.h"
#include "base/ids.h"
#include "base/result.h"
#include "http/text_pool.h"

namespace slora {

// Work of text threads that goes on once the folders of adapters have been looked at, so that no text thread waits for a disk. Work that
// waits is dropped by the destructor. Any thread.
class AdapterWaits {
 public:
  // Called on a text thread; or on another with "queue_full", when the work is to be refused.
  using Work = std::function<void(Status can_run)>;

  // As RequestPreparer::await_adapters.
  using Await = std::function<void(const std::vector<std::string>& adapters, std::function<void()> then)>;

  // `pool` outlives it.
  AdapterWaits(Await await, TextPool& pool) : await_(std::move(await)), pool_(pool) {}
  ~AdapterWaits();
  AdapterWaits(const AdapterWaits&) = delete;
  AdapterWaits& operator=(const AdapterWaits&) = delete;

  // `client` and `body_bytes` as TextPool::try_run has them.
  void run_after_look(const std::vector<std::string>& adapters, ClientId client, std::size_t body_bytes, Work work);

 private:
  struct Waiting {
    ClientId client;
    std::size_t body_bytes;
    Work work;
  };
  // Shared with the threads that look, which may outlast this object: the gate is closed then. Until then it guards the rest.
  struct State {
    Gate gate;
    std::uint64_t count = 0;
    std::map<std::uint64_t, Waiting> waiting;
  };

  const Await await_;
  TextPool& pool_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace slora
