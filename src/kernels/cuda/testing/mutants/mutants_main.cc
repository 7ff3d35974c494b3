// mutants NAME FILE: runs the checks of the kernels with one seeded bug of mutants.cmake, or "none". Succeeds when a check notices the bug
// within the bound of seeds, and when none notices anything without one. The checks of the file that the bug is in are tried first.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/testing/active_mutant.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace {

constexpr std::uint64_t kSeeds = 60, kSeedsWithout = 10;

char name[128] = "none";  // in the program's data, which kernels may read

void note_stopped(int) { std::_Exit(EXIT_SUCCESS); }  // an address that nobody may use, or a check(): noticed

bool is_noticed(const slora::cuda::KernelCheck& check, std::uint64_t seed) {
  const std::string failure = check.run(seed);
  if (!failure.empty()) std::printf("noticed by %s with seed %d: %s\n", check.name, static_cast<int>(seed), failure.c_str());
  return !failure.empty();
}

bool is_noticed(std::span<const slora::cuda::KernelCheck> checks, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const slora::cuda::KernelCheck& check : checks) {
      if (is_noticed(check, seed)) return true;
    }
  }
  return false;
}

// `file`: where the bug is. The checks of its kernel come first: they notice it, as a rule.
bool is_mutant_noticed(std::string_view file) {
  std::vector<slora::cuda::KernelCheck> of_file, others;
  for (const slora::cuda::KernelCheck& check : slora::cuda::kernel_checks()) (check.is_of(file) ? of_file : others).push_back(check);
  return is_noticed(of_file, kSeeds) || is_noticed(others, kSeeds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2) std::strncpy(name, argv[1], sizeof(name) - 1);
  const bool is_mutant = std::strcmp(name, "none") != 0;
  for (const slora::StaleMutant* stale = slora::StaleMutant::first; stale != nullptr; stale = stale->next) {
    if (stale->names.find(" " + std::string(name) + " ") == std::string_view::npos) continue;
    std::printf("mutant %s: its place does not stand exactly once in its source; change it in mutants.cmake:\n%s\n", name,
                std::string(stale->place).c_str());
    return EXIT_FAILURE;
  }
  bool noticed = false;
  if (is_mutant) {
    slora::active_mutant = slora::MutantName(std::string_view(name)).id;
    std::signal(SIGABRT, note_stopped);
    std::signal(SIGSEGV, note_stopped);
    noticed = is_mutant_noticed(argc >= 3 ? argv[2] : "");
  } else {
    noticed = is_noticed(slora::cuda::kernel_checks(), kSeedsWithout);
  }
  if (!noticed) std::puts("nothing noticed");
  return noticed == is_mutant ? EXIT_SUCCESS : EXIT_FAILURE;
}
