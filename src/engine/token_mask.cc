#include "engine/token_mask.h"

#include <algorithm>

#include "base/caught.h"
#include "base/thread_time.h"

namespace slora {
namespace {

constexpr Timestamp kQuickAccept = std::chrono::microseconds(200);

}  // namespace

TokenMask::State TokenMask::accepted(TokenId token) {
  const Timestamp begin = thread_time();
  const Result<bool> is_complete = run_caught([&]() -> Result<bool> {
    if (Status taken = constraint_->accept(token); !taken) return forward_error(taken);
    return constraint_->is_complete();
  });
  accepts_quickly_ = thread_time() - begin < kQuickAccept;
  if (is_complete) return *is_complete ? State::complete : State::unknown;
  error_ = is_complete.error();
  return State::failed;
}

TokenMask::State TokenMask::computed(Histogram& fill_seconds) {
  const SteadyClock clock;
  const Timestamp begin = clock.now();
  Status filled = run_caught([&] { return constraint_->fill(words_); });
  fill_seconds.observe(seconds(clock.now() - begin));
  if (filled && std::ranges::all_of(words_, [](std::uint32_t word) { return word == 0; })) {
    filled = slora::error("constraint_unsatisfiable",
                          "No token may follow here: no answer of the requested form can continue the one generated.");
  }
  if (filled) return State::known;
  error_ = std::move(filled).error();
  return State::failed;
}

}  // namespace slora
