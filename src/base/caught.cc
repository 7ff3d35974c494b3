#include "base/caught.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "base/log.h"

namespace slora {
namespace {

// What the exception says; empty: memory, threads or descriptors ran out.
std::string_view reason_of_exception(std::string& storage) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {};
  } catch (const std::length_error&) {
    return {};
  } catch (const std::system_error&) {
    return {};
  } catch (const std::exception& failure) {
    storage = failure.what();
  } catch (...) {
    storage = "an unknown exception";
  }
  return storage;
}

}  // namespace

// Where even the message can't be allocated, the code alone, which std::string holds in itself, has to do.
Error error_of_exception() noexcept {
  Error error{"out_of_memory", {}, {}};
  try {
    std::string storage;
    const std::string_view reason = reason_of_exception(storage);
    if (reason.empty()) {
      error.message = "The server ran out of memory; try again later.";
    } else {
      error.code = "internal_error";
      error.message = reason;
    }
  } catch (...) {
    error.code = "out_of_memory";
  }
  return error;
}

void log_exception(std::string_view where) noexcept {
  try {
    std::string storage;
    const std::string_view reason = reason_of_exception(storage);
    log_warning("{}: {}", where, reason.empty() ? "out of memory" : reason);
  } catch (...) {  // without memory there is no line
  }
}

}  // namespace slora
