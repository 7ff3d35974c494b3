#pragma once
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace slora {

// What a request gets when an exception ends its work: "out_of_memory" when memory, threads or descriptors ran out, which passes; else
// "internal_error". Requires: called within a catch block. Throws nothing.
[[nodiscard]] Error error_of_exception() noexcept;

// The result of `work`, which returns a Result, or the error of what it throws: the edge of what libraries may throw and of running out of
// memory.
template <class Work>
[[nodiscard]] std::invoke_result_t<Work&> run_caught(Work&& work) {
  try {
    return work();
  } catch (...) {
    return tl::unexpected<Error>(error_of_exception());
  }
}

// Logs an exception that reached the loop of a thread, and whose it is. Requires: called within a catch block.
void log_exception(std::string_view where) noexcept;

}  // namespace slora
