#pragma once
#include <cstddef>
#include <vector>

namespace slora::emulator {

// The emulated device's memory: allocations far from one another in one range of addresses that is used for nothing else, so that every
// address tells what it belongs to. Between them lies memory that cannot be accessed. An allocation ends less than 256 bytes before such
// memory, and the bytes up to there are filled with a pattern. Addresses of freed allocations are not used again.
class DeviceMemory {
 public:
  // Hidden memory can be accessed while a DeviceAccess exists only: what a GPU's host cannot access.
  enum class Hidden : bool { no, yes };
  // The allocations' addresses are at least `gap_bytes` apart.
  explicit DeviceMemory(std::size_t gap_bytes, Hidden hidden = Hidden::no);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  struct Allocation {
    std::byte* begin;  // a multiple of 256
    std::size_t bytes;
    bool is_live;
    std::byte* pages_begin;  // what can be accessed
    std::byte* pages_end;
  };
  // Filled with 0xff: NaN as fp32 and bf16. `allocate_sparse` gives zeros and takes memory only for what is touched.
  std::byte* allocate(std::size_t bytes);
  std::byte* allocate_sparse(std::size_t bytes);
  // Requires: a live allocation begins there.
  void free(void* begin);

  // The allocation that begins last at or before `address`, or null. It need not contain it.
  [[nodiscard]] const Allocation* find(const void* address) const;
  // The bytes [address, address + bytes) are in one live allocation.
  [[nodiscard]] bool holds(const void* address, std::size_t bytes) const;
  // Does the range of addresses of all allocations contain it?
  [[nodiscard]] bool is_device_address(const void* address) const;
  // A live allocation next to which the pattern has changed, or null. The pattern is written again.
  const Allocation* find_overwritten();

 private:
  Allocation& take(std::size_t bytes);

  const Hidden hidden_;
  std::byte* range_;
  std::byte* next_;
  std::size_t gap_bytes_;
  std::vector<Allocation> allocations_;  // by address
};

// While it exists, its thread may access hidden memory of all emulated devices. Any other access ends the program, where the processor has
// protection keys.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;

 private:
  int rights_before_;
};

}  // namespace slora::emulator
