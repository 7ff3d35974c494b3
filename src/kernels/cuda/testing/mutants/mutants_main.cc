// Runs the checks of the kernels with one seeded bug of mutants.cmake, or "none". Succeeds when a check notices the bug within the bound of
// seeds, and when none notices anything without one.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/testing/active_mutant.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace {

constexpr std::uint64_t kSeeds = 60, kSeedsWithout = 10;

char name[128] = "none";  // in the program's data, which kernels may read

void note_stopped(int) { std::_Exit(EXIT_SUCCESS); }  // an address that nobody may use, or a check(): noticed

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) std::strncpy(name, argv[1], sizeof(name) - 1);
  const bool is_mutant = std::strcmp(name, "none") != 0;
  for (const slora::StaleMutant* stale = slora::StaleMutant::first; stale != nullptr; stale = stale->next) {
    if (stale->names.find(" " + std::string(name) + " ") == std::string_view::npos) continue;
    std::printf("mutant %s: its place does not stand exactly once in its source; change it in mutants.cmake:\n%s\n", name,
                std::string(stale->place).c_str());
    return EXIT_FAILURE;
  }
  if (is_mutant) {
    slora::active_mutant = name;
    std::signal(SIGABRT, note_stopped);
    std::signal(SIGSEGV, note_stopped);
  }
  for (std::uint64_t seed = 1; seed <= (is_mutant ? kSeeds : kSeedsWithout); ++seed) {
    for (const slora::cuda::KernelCheck& check : slora::cuda::kernel_checks()) {
      const std::string failure = check.run(seed);
      if (failure.empty()) continue;
      std::printf("noticed by %s with seed %d: %s\n", check.name, static_cast<int>(seed), failure.c_str());
      return is_mutant ? EXIT_SUCCESS : EXIT_FAILURE;
    }
  }
  std::puts("nothing noticed");
  return is_mutant ? EXIT_FAILURE : EXIT_SUCCESS;
}
