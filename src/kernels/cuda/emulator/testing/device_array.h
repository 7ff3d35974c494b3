#pragma once
#include <cstddef>
#include <vector>

#include "kernels/cuda/emulator/device.h"

namespace slora::emulator {

// Elements in an emulated device's memory, freed with this object. Requires: the device lives longer.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Device& device, const std::vector<T>& values) : DeviceArray(values.size(), device) {
    if (count_ > 0) device.upload(data_, values.data(), count_ * sizeof(T));
  }
  // Elements that nobody has written.
  static DeviceArray unwritten(Device& device, std::size_t count) { return DeviceArray(count, device); }
  ~DeviceArray() { device_.memory().free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::vector<T> download() const {
    std::vector<T> values(count_);
    if (count_ > 0) device_.download(values.data(), data_, count_ * sizeof(T));
    return values;
  }

 private:
  DeviceArray(std::size_t count, Device& device)
      : device_(device), data_(reinterpret_cast<T*>(device.memory().allocate(count * sizeof(T)))), count_(count) {}

  Device& device_;
  T* data_;
  std::size_t count_;
};

}  // namespace slora::emulator
