#include "cli/interrupt.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace slora {
namespace {

constexpr timespec kPatience{0, 100'000'000};  // how often the thread checks whether it should end

sigset_t signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

Interrupt::Interrupt(std::string what_follows) : what_follows_(std::move(what_follows)) {
  const sigset_t set = signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::jthread([this](const std::stop_token& stop) { wait(stop); });
}

void Interrupt::wait(const std::stop_token& stop) {
  const sigset_t set = signals();
  while (!stop.stop_requested()) {
    if (sigtimedwait(&set, nullptr, &kPatience) < 0) continue;
    if (requested_.exchange(true)) _exit(kInterrupted);
    fmt::print(stderr, "\n{}; press Ctrl-C again to stop immediately\n", what_follows_);
  }
}

}  // namespace slora
