#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/cuda/emulator/grid_shape.h"

namespace slora::emulator {

// What a kernel did that a device does not define or that is a waste. The first group ends the launch; the kernels' results are not used
// then. Only kernels compiled for watching (watch.h) are checked for the second group.
enum class FaultKind : std::uint8_t {
  bad_launch,            // no such number of threads or so much shared memory
  different_operations,  // threads that had to meet at one operation are at two
  ended_thread,          // a thread ended while others wait for it at an operation
  shared_too_small,      // shared<T>() with a T larger than what the launch asked for
  misaligned,            // an address that is no multiple of what the operation needs
  overwritten_guard,     // bytes next to an allocation or to shared memory have changed

  write_write_race,     // two writes of shared or global memory which no barrier orders
  write_read_race,      // a read that may come before or after a write
  read_write_race,      // a write that may come before or after a read
  race_between_blocks,  // two blocks use the same bytes and one of them writes them with no atomic operation
  uninitialised_read,   // nobody has written these bytes
  copy_in_flight,       // bytes of an asynchronous copy are used before the copying thread has waited for it
  unwaited_copy,        // a thread ended with such copies of its own in flight
  out_of_bounds,        // next to an allocation, or beyond the block's shared memory; ends the launch
  freed_memory,         // of an allocation that has been freed; ends the launch
  not_device_memory,    // memory of the host; ends the launch
};
[[nodiscard]] std::string_view name_of(FaultKind kind);

// One of the threads of a fault and the last operation (barrier, collective, copy) that it was at or had passed.
struct FaultThread {
  std::int32_t block = -1;  // -1: none
  std::int32_t thread = -1;
  Place place;
};

struct Fault {
  FaultKind kind;
  Place launch;        // where the kernel was launched
  FaultThread first;   // for a race the earlier access
  FaultThread second;  // for a race the one that noticed it
  std::string what;    // the bytes or the operations
};
// One line: kind, both threads with their places, what.
[[nodiscard]] std::string to_text(const Fault& fault);

// "rms_norm.cu:41"
[[nodiscard]] std::string to_text(const Place& place);

}  // namespace slora::emulator
