#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "backend/backend.h"
#include "engine/step_arrays.h"
#include "ops/step_array.h"

namespace slora {

// All arrays of a step one after another in host memory, so that they go to the device in one copy. Protocol per step: clear(), add() each
// array, upload(), then place() each array in the same order, which then names the device's copy. Owned by a step slot, used on the engine
// thread; it keeps its memory.
class StepBlob {
 public:
  // `backend` outlives it.
  explicit StepBlob(Backend& backend) : backend_(&backend), memory_(backend.host_memory(kBytesAtFirst)) {}

  // `list_capacity`: elements that every list takes up, so that its length moves no other array; 0: as many as it has.
  void clear(std::size_t list_capacity) {
    used_ = 0;
    list_capacity_ = list_capacity;
  }
  template <class T>
  void add(const StepArray<T>& array, ArrayKind kind) {
    used_ = aligned(used_);
    reserve(used_ + bytes_of_array(array, kind));
    if (!array.empty()) std::memcpy(memory_.data() + used_, array.host.data(), array.host.size_bytes());
    used_ += bytes_of_array(array, kind);
  }
  void upload(int slot) {
    device_ = backend_->upload_step(slot, {memory_.data(), used_});
    placed_ = 0;
  }
  template <class T>
  void place(StepArray<T>& array, ArrayKind kind) {
    placed_ = aligned(placed_);
    array.device = reinterpret_cast<const T*>(device_ + placed_);
    placed_ += bytes_of_array(array, kind);
  }

 private:
  static constexpr std::size_t kBytesAtFirst = std::size_t{1} << 20;
  static constexpr std::size_t kAlignment = 64;

  template <class T>
  [[nodiscard]] std::size_t bytes_of_array(const StepArray<T>& array, ArrayKind kind) const {
    return kind == ArrayKind::list ? std::max(array.size(), list_capacity_) * sizeof(T) : array.host.size_bytes();
  }
  static std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
  void reserve(std::size_t bytes) {
    if (bytes <= memory_.bytes()) return;
    Buffer larger = backend_->host_memory(std::max(bytes, 2 * memory_.bytes()));
    std::memcpy(larger.data(), memory_.data(), memory_.bytes());
    memory_ = std::move(larger);
  }

  Backend* backend_;
  Buffer memory_;
  std::size_t used_ = 0;
  std::size_t list_capacity_ = 0;
  const std::byte* device_ = nullptr;  // of the latest upload
  std::size_t placed_ = 0;             // bytes of it whose arrays were placed
};

}  // namespace slora
