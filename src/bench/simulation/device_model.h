#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace slora::bench {

// What a device needs for a step, as far as the simulation knows: rates that a step reaches, not those of a data sheet.
struct DeviceModel {
  std::string_view name;
  double memory_bytes = 0;           // in total
  double bytes_per_second = 0;       // reading weights, KV and adapters
  double operations_per_second = 0;  // of products; a multiplication and an addition are two
  double step_seconds = 0;           // of every step, whatever it holds: launches, scheduling
  double sequence_seconds = 0;       // of every sequence of a step, in addition: sampling, and the host's work for each
  double adapter_step_seconds = 0;   // of a step with at least one adapter, in addition: launches of the adapters' products
  double copy_bytes_per_second = 0;  // host to device
  double copy_seconds = 0;           // of every copy of an adapter, whatever its size
  enum class Overlap : std::uint8_t {
    by_op,  // within one kind of op reading and computing overlap, kinds of ops follow one another
    none,   // reading and computing follow one another: what a linear fit can say
  } overlap = Overlap::by_op;
};

// Devices like those named, from public data sheets (device_model.cc has the figures and the shares of them that are assumed). They are
// models: nothing was measured on such a device.
[[nodiscard]] std::span<const DeviceModel> device_models();
[[nodiscard]] std::optional<DeviceModel> find_device_model(std::string_view name);

}  // namespace slora::bench
