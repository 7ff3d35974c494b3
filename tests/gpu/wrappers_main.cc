// Runs the kernel of each wrapper (wrappers.h) on a device and on the emulated one with the same inputs, and compares what they wrote: is
// the emulator's idea of each instruction true? Prints a line for each wrapper.
//   --list 1: only their names     --checks which, with commas between; all if empty     --seeds how many inputs of each
//   --device cuda or emulated     --falsify 1: changes a bit of every answer, which must be noticed
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "backend/cuda/cudart/cudart_device.h"
#include "backend/cuda/testing/emulated_device.h"
#include "base/check.h"
#include "program.h"
#include "wrapper_cases.h"

namespace slora::cuda {
namespace {

using Launcher = void (*)(const Wrapper&, Stream, const std::uint32_t*, std::uint32_t*);

// A device with a stream and memory for the largest wrapper. An error of a call ends the program.
class WrapperRunner {
 public:
  static constexpr std::size_t kBytes = std::size_t{1} << 16;

  WrapperRunner(DeviceApi& device, Launcher launcher)
      : device_(device),
        launcher_(launcher),
        stream_(require(device.make_stream(StreamPriority::normal))),
        in_(require(device.allocate(kBytes))),
        out_(require(device.allocate(kBytes))),
        staging_(require(device.allocate_host(kBytes))) {}

  [[nodiscard]] std::vector<std::uint32_t> run(const Wrapper& wrapper, const std::vector<std::uint32_t>& in) {
    const std::size_t in_bytes = in.size() * sizeof(in[0]);
    std::vector<std::uint32_t> out(static_cast<std::size_t>(wrapper.out_words));
    const std::size_t out_bytes = out.size() * sizeof(out[0]);
    check(std::max(in_bytes, out_bytes) <= kBytes, "expected a wrapper whose words fit the memory for them");
    if (in_bytes > 0) {
      std::memcpy(staging_, in.data(), in_bytes);
      require(device_.upload(stream_, in_, staging_, in_bytes));
    }
    require(device_.fill_bytes(stream_, out_, 0xff, kBytes));
    launcher_(wrapper, stream_, reinterpret_cast<const std::uint32_t*>(in_), reinterpret_cast<std::uint32_t*>(out_));
    require(device_.last_error());
    require(device_.synchronise(stream_));
    require(device_.download(stream_, staging_, out_, out_bytes));
    require(device_.synchronise(stream_));
    std::memcpy(out.data(), staging_, out_bytes);
    return out;
  }

 private:
  template <class T>
  static T require(Result<T> result) {
    if (!result) require(Status(tl::unexpected(result.error())));
    return *std::move(result);
  }
  static void require(const Status& status) {
    if (status) return;
    testing::print_line({{"failure", status.error().message}});
    std::exit(EXIT_FAILURE);
  }

  DeviceApi& device_;
  const Launcher launcher_;
  const Stream stream_;
  std::byte *const in_, *const out_, *const staging_;
};

int check_wrappers(const testing::ProgramOptions& options) {
  if (options.number("list") != 0) {
    for (const Wrapper& wrapper : on_emulator::wrappers()) std::puts(wrapper.name);
    return EXIT_SUCCESS;
  }
  const bool is_emulated = options.text("device") == "emulated";
  std::unique_ptr<DeviceApi> tested;
  if (is_emulated) {
    tested = std::make_unique<EmulatedDevice>(EmulatedDevice::Options{.seed = 77});  // works in another order
  } else {
    Result<std::unique_ptr<DeviceApi>> opened = open_cudart_device(0);
    if (!opened) testing::end_without_device(opened.error());
    tested = *std::move(opened);
  }
  EmulatedDevice emulated(EmulatedDevice::Options{});
  WrapperRunner tested_runner(*tested, is_emulated ? on_emulator::launch_wrapper : on_gpu::launch_wrapper);
  WrapperRunner emulated_runner(emulated, on_emulator::launch_wrapper);

  bool is_right = true;
  const std::span<const Wrapper> tested_wrappers = is_emulated ? on_emulator::wrappers() : on_gpu::wrappers();
  for (std::size_t w = 0; w < tested_wrappers.size(); ++w) {
    const Wrapper& wrapper = tested_wrappers[w];
    if (!testing::is_among(options.text("checks"), wrapper.name)) continue;
    std::mt19937_64 random(w);
    std::int64_t compared = 0, wrong = 0;
    double largest = 0;  // of differences that are allowed
    std::string first;
    for (std::int64_t seed = 0; seed < options.number("seeds"); ++seed) {
      const std::vector<std::uint32_t> in = draw_input(wrapper, random);
      std::vector<std::uint32_t> found = tested_runner.run(wrapper, in);
      if (options.number("falsify") != 0) found[found.size() / 2] ^= 0x40000000u;
      const std::vector<std::uint32_t> expected = emulated_runner.run(on_emulator::wrappers()[w], in);
      for (std::size_t i = 0; i < found.size(); ++i) {
        const double distance = difference(wrapper.name, found[i], expected[i]);
        ++compared;
        if (distance <= 1) {
          largest = std::max(largest, distance);
          continue;
        }
        if (wrong++ == 0) {
          first = fmt::format("input {}, word {}: expected {:#010x} ({}), found {:#010x} ({})", seed, i, expected[i],
                              std::bit_cast<float>(expected[i]), found[i], std::bit_cast<float>(found[i]));
        }
      }
    }
    is_right = is_right && wrong == 0;
    nlohmann::json line = {{"case", wrapper.name},
                           {"right", wrong == 0},
                           {"words", compared},
                           {"wrong_words", wrong},
                           {"largest_share_of_tolerance", largest}};
    if (wrong > 0) line["what"] = first;
    testing::print_line(line);
  }
  for (const DeviceFault& fault : emulated.take_faults()) {
    testing::print_line({{"failure", fmt::format("emulated device: {}: {}", name_of(fault.kind), fault.what)}});
    is_right = false;
  }
  return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace slora::cuda

int main(int argc, char** argv) {
  return slora::cuda::check_wrappers({argc, argv, {{"list", "0"}, {"checks", ""}, {"device", "cuda"}, {"seeds", "20"}, {"falsify", "0"}}});
}
