#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/simulation/device_model.h"

namespace slora::bench {

// One step that was measured, with what it read and computed: a row "decode" or "prefill" of `slora bench offline --json`.
struct MeasuredStep {
  std::string name;  // "decode 16 x 128, distinct"
  double seconds = 0, bytes = 0, operations = 0;
  double sequences = 1;
  bool has_adapters = false;
};

struct CostFit {
  DeviceModel device;                    // Overlap::none
  std::vector<double> predicted;         // [steps] seconds
  double error_mean = 0, error_max = 0;  // of |predicted - measured| / measured
};

// Rows of a file; lines of other kinds are skipped. Errors name the file and what is wrong.
[[nodiscard]] Result<std::vector<MeasuredStep>> read_measured_steps(const std::string& path);

// The device whose steps take
//     step_seconds + sequences x sequence_seconds + bytes / bytes_per_second + operations / operations_per_second
//     + adapter_step_seconds, with adapters
// with the least sum of squares of relative errors, and no term negative. How fast adapters are copied is in no such row: the device has
// kFitCopyBytesPerSecond and kFitCopySeconds. "bad_fit" when the rows do not determine both rates.
inline constexpr double kFitCopyBytesPerSecond = 1e9, kFitCopySeconds = 0.001;
[[nodiscard]] Result<CostFit> fit_device(std::span<const MeasuredStep> steps);

// Measured and fitted times, to be printed.
[[nodiscard]] std::vector<std::string> lines_of(const CostFit& fit, std::span<const MeasuredStep> steps);

}  // namespace slora::bench
