// Runs the tests that are linked to it with one seeded bug of a mutants.cmake, or "none". Succeeds when a test notices the bug, and when
// none notices anything without one.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/testing/active_mutant.h"

namespace {

void note_stopped(int) { std::_Exit(EXIT_SUCCESS); }  // an address that nobody may use, or a check(): noticed

}  // namespace

int main(int argc, char** argv) {
  static const std::string name = argc >= 2 ? argv[1] : "none";
  for (const slora::StaleMutant* stale = slora::StaleMutant::first; stale != nullptr; stale = stale->next) {
    if (stale->names.find(" " + name + " ") == std::string_view::npos) continue;
    std::printf("mutant %s: its place does not stand exactly once in its source; change it in mutants.cmake:\n%s\n", name.c_str(),
                std::string(stale->place).c_str());
    return EXIT_FAILURE;
  }
  ::testing::InitGoogleTest(&argc, argv);  // with the name and file: the processes of death tests get them again
  if (name == "none") return RUN_ALL_TESTS();
  slora::active_mutant = slora::MutantName(std::string_view(name)).id;
  std::signal(SIGABRT, note_stopped);
  std::signal(SIGSEGV, note_stopped);
  GTEST_FLAG_SET(fail_fast, true);
  const bool is_noticed = RUN_ALL_TESTS() != 0;
  std::puts(is_noticed ? "noticed" : "nothing noticed");
  return is_noticed ? EXIT_SUCCESS : EXIT_FAILURE;
}
