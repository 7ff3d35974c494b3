// Runs the checks of kernels (kernels/cuda/testing): random shapes and numbers against plain loops. Prints a line for each.
//   --list 1: only their names     --checks which, with commas between; all if empty     --first-seed, --seeds
//   --sanitizer 1: for compute-sanitizer, which watches the memory; results are not compared
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/testing/kernel_checks.h"
#include "kernels_device.h"
#include "program.h"

namespace slora::cuda {
namespace {

std::vector<KernelCheck> wanted_checks(const std::string& names) {
  std::vector<KernelCheck> wanted;
  for (const KernelCheck& check : kernel_checks()) {
    if (testing::is_among(names, check.name)) wanted.push_back(check);
  }
  return wanted;
}

// Returns false if the check needs more memory than it may have.
bool run_check(const KernelCheck& check, std::uint64_t seed, std::string& failure) {
  emulator::ProcessDevice& device = emulator::ProcessDevice::get();
  try {
    failure = check.run(seed);
  } catch (const emulator::TooLarge&) {
    return false;
  }
  if (device.leaves_memory_alone) failure.clear();  // results were not read
  const std::vector<emulator::Fault> late = std::exchange(device.faults, {});
  if (failure.empty() && !late.empty()) failure = late.front().what;
  return true;
}

int run_checks(const testing::ProgramOptions& options) {
  const std::vector<KernelCheck> checks = wanted_checks(options.text("checks"));
  if (options.number("list") != 0) {
    for (const KernelCheck& check : checks) std::puts(check.name);
    return EXIT_SUCCESS;
  }
  Result<std::unique_ptr<DeviceApi>> device = open_kernels_device();
  if (!device) testing::end_without_device(device.error());
  if (Status opened = emulator::ProcessDevice::open(**device, options.number("sanitizer") != 0); !opened) {
    testing::end_without_device(opened.error());
  }
  bool is_right = true;
  for (const KernelCheck& check : checks) {
    const auto begin = std::chrono::steady_clock::now();
    const std::int64_t first = options.number("first-seed"), end = first + options.number("seeds");
    std::int64_t wrong = 0, too_large = 0;
    std::string first_failure;
    for (std::int64_t seed = first; seed < end; ++seed) {
      std::string failure;
      if (!run_check(check, static_cast<std::uint64_t>(seed), failure)) ++too_large;
      if (failure.empty()) continue;
      if (wrong++ == 0) first_failure = "seed " + std::to_string(seed) + ": " + failure;
    }
    is_right = is_right && wrong == 0;
    nlohmann::json line = {{"case", check.name},
                           {"right", wrong == 0},
                           {"seeds", end - first - too_large},
                           {"wrong_seeds", wrong},
                           {"too_large_seeds", too_large},
                           {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()}};
    if (wrong > 0) line["what"] = first_failure;
    if (too_large == end - first) line["skipped"] = "the device had too little memory for every seed";
    testing::print_line(line);
  }
  return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace slora::cuda

int main(int argc, char** argv) {
  return slora::cuda::run_checks({argc, argv, {{"list", "0"}, {"checks", ""}, {"first-seed", "1"}, {"seeds", "20"}, {"sanitizer", "0"}}});
}
