// Linked against the scheduler with one line changed for the worse (mutants.cmake): succeeds when the simulator notices.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "scheduler/testing/simulator.h"

namespace {

constexpr std::uint64_t kSeeds = 2000, kSteps = 1500;  // the rarest situation that a mutant needs comes in one world of 300

void note_stopped(int) { std::_Exit(EXIT_SUCCESS); }  // a check() stopped it: caught

}  // namespace

int main() {
  std::signal(SIGABRT, note_stopped);
  std::signal(SIGSEGV, note_stopped);
  std::uint64_t steps = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const slora::SimulationReport report = slora::Simulator(slora::draw_options(seed)).run(kSteps);
    steps += report.steps;
    if (report.failure.empty()) continue;
    std::printf("caught after %llu steps: %s\n", static_cast<unsigned long long>(steps), report.failure.c_str());
    return EXIT_SUCCESS;
  }
  std::printf("not caught in %llu steps\n", static_cast<unsigned long long>(steps));
  return EXIT_FAILURE;
}
