#include "bench/simulation/device_model.h"

#include <algorithm>
#include <array>

namespace slora::bench {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

// Memory, bandwidth, dense bf16 tensor operations and PCIe rate of one direction, as the maker's data sheet states them.
struct DataSheet {
  std::string_view name;
  double memory_bytes, bytes_per_second, operations_per_second, link_bytes_per_second;
};

// Shares of the data sheet that a serving step reaches, the same for all devices.
constexpr double kBandwidthShare = 0.8;
constexpr double kComputeShare = 0.6;
constexpr double kLinkShare = 0.8;
constexpr double kAdapterStepSeconds = 0.001;  // 8 launches of some microseconds in each of 32 to 40 layers
constexpr double kCopySeconds = 0.0005;

// What the host adds to a step, and for each of its sequences.
struct HostLoop {
  double step_seconds, sequence_seconds;
};
// S-LoRA's, in Python, with kernels launched one by one. Together with the shares above, this was chosen so that the runs of its evaluation
// without adapters (n = 0) come out as published; what is simulated with adapters follows from it.
constexpr HostLoop kPythonLoop = {0.006, 0.0001};
// A native loop as this project's: assumed.
constexpr HostLoop kNativeLoop = {0.001, 0.00001};

constexpr DeviceModel make_device(const DataSheet& sheet, const HostLoop& host) {
  return {.name = sheet.name,
          .memory_bytes = sheet.memory_bytes,
          .bytes_per_second = kBandwidthShare * sheet.bytes_per_second,
          .operations_per_second = kComputeShare * sheet.operations_per_second,
          .step_seconds = host.step_seconds,
          .sequence_seconds = host.sequence_seconds,
          .adapter_step_seconds = kAdapterStepSeconds,
          .copy_bytes_per_second = kLinkShare * sheet.link_bytes_per_second,
          .copy_seconds = kCopySeconds};
}

constexpr std::array kDeviceModels = {
    make_device({"A10G", 24 * kGiB, 600e9, 70e12, 32e9}, kPythonLoop),       // PCIe 4.0 x16
    make_device({"A100-40", 40 * kGiB, 1555e9, 312e12, 32e9}, kPythonLoop),  // SXM4, PCIe 4.0 x16
    make_device({"A100-80", 80 * kGiB, 2039e9, 312e12, 32e9}, kPythonLoop),  // SXM4, PCIe 4.0 x16
    make_device({"H200", 141e9, 4800e9, 989e12, 64e9}, kNativeLoop),         // SXM5, PCIe 5.0 x16
};

}  // namespace

std::span<const DeviceModel> device_models() { return kDeviceModels; }

std::optional<DeviceModel> find_device_model(std::string_view name) {
  const auto found = std::ranges::find(kDeviceModels, name, &DeviceModel::name);
  return found == kDeviceModels.end() ? std::nullopt : std::optional(*found);
}

}  // namespace slora::bench
