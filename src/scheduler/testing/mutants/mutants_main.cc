// Runs the scheduler with one seeded bug of mutants.cmake, or "none". Succeeds when the simulator notices the bug within its bound of
// seeds and steps, and when it notices nothing without one.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/testing/active_mutant.h"
#include "scheduler/testing/simulator.h"

namespace {

constexpr std::uint64_t kSeeds = 2000, kSteps = 1500;  // the rarest situation that a mutant needs comes in one simulation of 300
constexpr std::uint64_t kSeedsWithout = 20;

void note_stopped(int) { std::_Exit(EXIT_SUCCESS); }  // a check() stopped it: noticed

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc >= 2 ? argv[1] : "none";
  const bool is_mutant = name != "none";
  for (const slora::StaleMutant* stale = slora::StaleMutant::first; stale != nullptr; stale = stale->next) {
    if (stale->names.find(" " + name + " ") == std::string_view::npos) continue;
    std::printf("mutant %s: its place does not stand exactly once in its source; change it in mutants.cmake:\n%s\n", name.c_str(),
                std::string(stale->place).c_str());
    return EXIT_FAILURE;
  }
  if (is_mutant) {
    slora::active_mutant = slora::MutantName(std::string_view(name)).id;
    std::signal(SIGABRT, note_stopped);
    std::signal(SIGSEGV, note_stopped);
  }
  std::uint64_t steps = 0;
  for (std::uint64_t seed = 1; seed <= (is_mutant ? kSeeds : kSeedsWithout); ++seed) {
    const slora::SimulationReport report = slora::Simulator(slora::draw_options(seed)).run(kSteps);
    steps += report.steps;
    if (report.failure.empty()) continue;
    std::printf("noticed after %llu steps: %s\n", static_cast<unsigned long long>(steps), report.failure.c_str());
    return is_mutant ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  std::printf("nothing noticed in %llu steps\n", static_cast<unsigned long long>(steps));
  return is_mutant ? EXIT_FAILURE : EXIT_SUCCESS;
}
