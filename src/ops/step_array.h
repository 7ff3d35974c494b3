#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace slora {

// An array that changes from step to step, twice: as the host wrote it, for deciding how an op is launched, and where the device reads it.
// Arrays of the host convert implicitly; on a backend that computes in the host's memory both are the same. Borrows; valid until the step
// is done.
template <class T>
struct StepArray {
  std::span<const T> host;
  const T* device = nullptr;  // [host.size()]

  StepArray() = default;
  StepArray(std::span<const T> both) : host(both), device(both.data()) {}         // NOLINT: implicit, as an op's argument
  StepArray(const std::vector<T>& both) : StepArray(std::span<const T>(both)) {}  // NOLINT
  StepArray(std::span<const T> at_host, const T* at_device) : host(at_host), device(at_device) {}

  [[nodiscard]] std::size_t size() const { return host.size(); }
  [[nodiscard]] bool empty() const { return host.empty(); }
  // What a backend that computes in the host's memory reads.
  [[nodiscard]] std::span<const T> on_device() const { return {device, host.size()}; }
  [[nodiscard]] StepArray from(std::size_t begin, std::size_t count) const { return {host.subspan(begin, count), device + begin}; }
};

}  // namespace slora
