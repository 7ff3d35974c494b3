#include "http/adapter_waits.h"

#include <utility>

#include "base/caught.h"
#include "base/check.h"

namespace slora {

AdapterWaits::~AdapterWaits() {
  const bool was_open = state_->gate.close();
  check(was_open, "expected the gate to be closed by the destructor alone");
  state_->waiting.clear();
}

void AdapterWaits::run_after_look(const std::vector<std::string>& adapters, ClientId client, std::size_t body_bytes, Work work) {
  std::uint64_t id = 0;
  const bool is_open = state_->gate.pass([&] {
    id = ++state_->count;
    state_->waiting.emplace(id, Waiting{client, body_bytes, std::move(work)});
  });
  if (!is_open) return;
  try {
    await_(adapters, [state = state_, &pool = pool_, id] {
      (void)state->gate.pass([&] {
        const auto at = state->waiting.find(id);
        const Waiting ready = std::move(at->second);
        state->waiting.erase(at);
        const Status taken = run_caught([&]() -> Status {
          if (pool.try_run(ready.client, ready.body_bytes, [work = ready.work] { work({}); })) return {};
          return error("queue_full", "Too many requests wait to be read; try again soon.");
        });
        if (!taken) ready.work(taken);
      });
    });
  } catch (...) {
    (void)state_->gate.pass([&] { state_->waiting.erase(id); });
    throw;
  }
}

}  // namespace slora
