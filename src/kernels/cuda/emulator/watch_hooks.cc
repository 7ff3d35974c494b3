// What g++ and clang call in code that was compiled with -fsanitize=thread. Programs with such code link this file instead of the
// sanitizer's library.
#include "kernels/cuda/emulator/watch.h"

namespace {

using slora::emulator::AccessKind;
using slora::emulator::GridRun;

void note(const void* address, std::size_t bytes, AccessKind kind, const void* instruction) {
  GridRun* const run = GridRun::current();
  if (run == nullptr || run->watch() == nullptr) return;  // code of the host
  run->watch()->access(run->thread(), address, bytes, kind, instruction);
}

}  // namespace

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read1(void* address) { note(address, 1, AccessKind::read, __builtin_return_address(0)); }
void __tsan_read2(void* address) { note(address, 2, AccessKind::read, __builtin_return_address(0)); }
void __tsan_read4(void* address) { note(address, 4, AccessKind::read, __builtin_return_address(0)); }
void __tsan_read8(void* address) { note(address, 8, AccessKind::read, __builtin_return_address(0)); }
void __tsan_read16(void* address) { note(address, 16, AccessKind::read, __builtin_return_address(0)); }
void __tsan_write1(void* address) { note(address, 1, AccessKind::write, __builtin_return_address(0)); }
void __tsan_write2(void* address) { note(address, 2, AccessKind::write, __builtin_return_address(0)); }
void __tsan_write4(void* address) { note(address, 4, AccessKind::write, __builtin_return_address(0)); }
void __tsan_write8(void* address) { note(address, 8, AccessKind::write, __builtin_return_address(0)); }
void __tsan_write16(void* address) { note(address, 16, AccessKind::write, __builtin_return_address(0)); }
void __tsan_unaligned_read2(void* address) { note(address, 2, AccessKind::read, __builtin_return_address(0)); }
void __tsan_unaligned_read4(void* address) { note(address, 4, AccessKind::read, __builtin_return_address(0)); }
void __tsan_unaligned_read8(void* address) { note(address, 8, AccessKind::read, __builtin_return_address(0)); }
void __tsan_unaligned_read16(void* address) { note(address, 16, AccessKind::read, __builtin_return_address(0)); }
void __tsan_unaligned_write2(void* address) { note(address, 2, AccessKind::write, __builtin_return_address(0)); }
void __tsan_unaligned_write4(void* address) { note(address, 4, AccessKind::write, __builtin_return_address(0)); }
void __tsan_unaligned_write8(void* address) { note(address, 8, AccessKind::write, __builtin_return_address(0)); }
void __tsan_unaligned_write16(void* address) { note(address, 16, AccessKind::write, __builtin_return_address(0)); }
void __tsan_read_range(void* address, unsigned long bytes) { note(address, bytes, AccessKind::read, __builtin_return_address(0)); }
void __tsan_write_range(void* address, unsigned long bytes) { note(address, bytes, AccessKind::write, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
