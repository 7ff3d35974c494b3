#include "base/testing/allocation_failure.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

std::atomic<bool> is_counting{false};
std::atomic<std::size_t> counted{0}, failures_begin{kNever}, failures_end{kNever};
thread_local bool is_exempt = false;

bool is_to_fail() {
  if (!is_counting || is_exempt) return false;
  const std::size_t number = ++counted;
  return number >= failures_begin && number < failures_end;
}

// As the library's operator new: a failed allocation is tried again for as long as there is a handler that does not throw.
void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  const std::size_t rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
  for (;;) {
    void* const memory = is_to_fail()                                    ? nullptr
                         : alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__ ? std::malloc(rounded)
                                                                         : std::aligned_alloc(alignment, rounded);
    if (memory != nullptr) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  try {
    return allocate_or_throw(size, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

void* operator new(std::size_t size) { return allocate_or_throw(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t size, std::align_val_t alignment) { return allocate_or_throw(size, static_cast<std::size_t>(alignment)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace slora {

void fail_allocations(std::size_t first, std::size_t count) {
  counted = 0;
  failures_begin = first;
  failures_end = first + count;
  is_counting = true;
}

void count_allocations() {
  counted = 0;
  failures_begin = failures_end = kNever;
  is_counting = true;
}

std::size_t allocation_count() { return counted; }

std::size_t end_failures() {
  is_counting = false;
  return counted;
}

ExemptFromFailures::ExemptFromFailures() : was_exempt_(is_exempt) { is_exempt = true; }
ExemptFromFailures::~ExemptFromFailures() { is_exempt = was_exempt_; }

}  // namespace slora
