#pragma once
#include <cstddef>

namespace slora {

// Counts or fails allocations of a program of tests that is built with tests/allocation_failure.cc, which replaces operator new: those of all
// threads but the exempt ones. No library has that file, or every program of tests would get its operator new.

// Counts allocations from now on, and fails `count` of them one after the other, beginning with the one of this number (from 1).
void fail_allocations(std::size_t first, std::size_t count);
// Only counts them.
void count_allocations();
// How many there were so far.
[[nodiscard]] std::size_t allocation_count();
// Ends it, and returns how many there were.
std::size_t end_failures();
// The calling thread's allocations are neither counted nor failed while this lives.
class ExemptFromFailures {
 public:
  ExemptFromFailures();
  ~ExemptFromFailures();
  ExemptFromFailures(const ExemptFromFailures&) = delete;
  ExemptFromFailures& operator=(const ExemptFromFailures&) = delete;

 private:
  bool was_exempt_;
};

}  // namespace slora
