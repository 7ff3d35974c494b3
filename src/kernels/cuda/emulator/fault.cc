#include "kernels/cuda/emulator/fault.h"

#include <fmt/format.h>

namespace slora::emulator {
namespace {

std::string thread_text(const FaultThread& thread) {
  if (thread.block < 0) return {};
  return fmt::format("; block {} thread {} at or after {}", thread.block, thread.thread, to_text(thread.place));
}

}  // namespace

std::string_view name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::bad_launch:
      return "bad launch";
    case FaultKind::different_operations:
      return "different operations";
    case FaultKind::ended_thread:
      return "ended thread";
    case FaultKind::shared_too_small:
      return "shared memory too small";
    case FaultKind::misaligned:
      return "misaligned address";
    case FaultKind::overwritten_guard:
      return "overwritten guard";
    case FaultKind::write_write_race:
      return "write-write race";
    case FaultKind::write_read_race:
      return "write-read race";
    case FaultKind::read_write_race:
      return "read-write race";
    case FaultKind::race_between_blocks:
      return "race between blocks";
    case FaultKind::uninitialised_read:
      return "uninitialised read";
    case FaultKind::copy_in_flight:
      return "copy in flight";
    case FaultKind::unwaited_copy:
      return "copy that nobody waited for";
    case FaultKind::out_of_bounds:
      return "out of bounds";
    case FaultKind::freed_memory:
      return "freed memory";
    case FaultKind::not_device_memory:
      return "not device memory";
  }
  return "?";
}

std::string to_text(const Place& place) {
  const std::string_view path = place.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), place.line());
}

std::string to_text(const Fault& fault) {
  return fmt::format("{}: {}{}{} (launched at {})", name_of(fault.kind), fault.what, thread_text(fault.first), thread_text(fault.second),
                     to_text(fault.launch));
}

}  // namespace slora::emulator
