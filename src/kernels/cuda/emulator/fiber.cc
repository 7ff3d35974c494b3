#include "kernels/cuda/emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"

// slora_switch_stack(void** save, void* to): pushes the registers that a call preserves, stores the stack pointer in *save, and continues
// where the stack `to` was left.
#if defined(__x86_64__)
asm(R"(
.text
.globl slora_switch_stack
.type slora_switch_stack, @function
slora_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size slora_switch_stack, .-slora_switch_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl slora_switch_stack
.type slora_switch_stack, @function
slora_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size slora_switch_stack, .-slora_switch_stack
)");
#else
#error "expected x86-64 or arm64: the switch between emulated threads is written in assembly"
#endif
extern "C" void slora_switch_stack(void** save, void* to);

namespace slora::emulator {
namespace {

constexpr std::size_t kStackBytes = 128 << 10;  // only what is touched takes memory

std::size_t guard_bytes() {
  static const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return page_bytes;
}

// The stack pointer of a stack that was left right before `entry`.
void* prepared_stack(std::byte* top, void (*entry)()) {
  const auto address = reinterpret_cast<std::uintptr_t>(entry);
#if defined(__x86_64__)
  constexpr std::size_t kFrameBytes = 64;  // six registers, the address that `ret` takes, and a return address for `entry`: none
  constexpr std::size_t kEntryOffset = 48;
#else
  constexpr std::size_t kFrameBytes = 160;
  constexpr std::size_t kEntryOffset = 88;  // x30
#endif
  std::byte* const frame = top - kFrameBytes;
  std::memset(frame, 0, kFrameBytes);
  std::memcpy(frame + kEntryOffset, &address, sizeof(address));
  return frame;
}

}  // namespace

Fiber::Fiber() {
  void* const memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  check(memory != MAP_FAILED, "expected memory for the stack of an emulated thread");
  stack_ = static_cast<std::byte*>(memory);
  check(mprotect(stack_, guard_bytes(), PROT_NONE) == 0, "expected to protect the page below a stack");
}
Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, kStackBytes);
}
Fiber::Fiber(Fiber&& other) noexcept
    : stack_(std::exchange(other.stack_, nullptr)), own_pointer_(other.own_pointer_), resumer_pointer_(other.resumer_pointer_) {}

void Fiber::prepare(void (*entry)()) { own_pointer_ = prepared_stack(stack_ + kStackBytes, entry); }
void Fiber::resume() { slora_switch_stack(&resumer_pointer_, own_pointer_); }
void Fiber::suspend() { slora_switch_stack(&own_pointer_, resumer_pointer_); }
bool Fiber::holds(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return at >= stack_ && at < stack_ + kStackBytes;
}

std::unique_ptr<Fiber> FiberPool::take() {
  if (free_.empty()) return std::make_unique<Fiber>();
  std::unique_ptr<Fiber> fiber = std::move(free_.back());
  free_.pop_back();
  return fiber;
}

}  // namespace slora::emulator
