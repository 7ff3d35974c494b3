#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace slora::emulator {

// A stack of its own for each emulated thread, and the switch between them: one system call for each new stack, none for a switch.
// Everything runs on the system thread that switches; no exception may leave a fiber's function.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(Fiber&&) noexcept;
  Fiber& operator=(Fiber&&) = delete;

  // The next resume() starts `entry`, from the beginning; what ran on the stack before is forgotten. `entry` never returns.
  void prepare(void (*entry)());
  // Runs the fiber until it suspends itself.
  void resume();
  // From within: back to who resumed it.
  void suspend();

  [[nodiscard]] bool holds(const void* address) const;  // is it on this stack?

 private:
  std::byte* stack_ = nullptr;  // lowest address; a page that cannot be accessed lies there
  void* own_pointer_ = nullptr;
  void* resumer_pointer_ = nullptr;
};

// Fibers that are used again, since a launch needs hundreds. Owned by a device, used by the thread that launches.
class FiberPool {
 public:
  [[nodiscard]] std::unique_ptr<Fiber> take();
  void give_back(std::unique_ptr<Fiber> fiber) { free_.push_back(std::move(fiber)); }

 private:
  std::vector<std::unique_ptr<Fiber>> free_;
};

}  // namespace slora::emulator
