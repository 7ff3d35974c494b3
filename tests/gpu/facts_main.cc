// What a GPU is, and its ceilings, to which other measurements are shares: a line for each, with the median and the quartiles of its
// samples. Data is random, and buffers rotate beyond twice the L2 cache.
// cuBLASLt is opened as the backend opens it, and its products are prepared as there.
//   --nccl: the file of this library, if it was found
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "backend/cuda/cublas/open_cublas.h"
#include "backend/cuda/cudart/cudart_device.h"
#include "facts.h"
#include "kernels/cuda/linear.h"
#include "program.h"

namespace slora::cuda {
namespace {

using Clock = std::chrono::steady_clock;
using testing::print_line;

[[noreturn]] void fail(const std::string& what) {
  print_line({{"failure", what}});
  std::exit(EXIT_FAILURE);
}
void require(const char* call, cudaError_t result) {
  if (result != cudaSuccess) fail(fmt::format("{}: {}: {}", call, cudaGetErrorName(result), cudaGetErrorString(result)));
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void print_measured(const std::string& name, const char* unit, std::vector<double> samples,
                    nlohmann::json more = nlohmann::json::object()) {
  std::ranges::sort(samples);
  const auto quantile = [&](double share) {
    return samples[static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1) + 0.5)];
  };
  more.update({{"case", name},
               {"unit", unit},
               {"median", quantile(0.5)},
               {"quartiles", {quantile(0.25), quantile(0.75)}},
               {"samples", samples.size()}});
  print_line(more);
}

// A stream with two events that take the time between them.
class Timer {
 public:
  Timer() {
    require("cudaStreamCreate", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    require("cudaEventCreate", cudaEventCreate(&begin_));
    require("cudaEventCreate", cudaEventCreate(&end_));
  }
  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  // Seconds that the device takes for what `enqueue` gives it.
  double time(const std::function<void()>& enqueue) {
    require("cudaEventRecord", cudaEventRecord(begin_, stream_));
    enqueue();
    require("cudaEventRecord", cudaEventRecord(end_, stream_));
    require("cudaEventSynchronize", cudaEventSynchronize(end_));
    float milliseconds = 0;
    require("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, begin_, end_));
    return milliseconds / 1e3;
  }
  // units / time of `count` calls of enqueue(i), after some that are not counted.
  std::vector<double> rates(int count, double units, const std::function<void(int)>& enqueue) {
    constexpr int kWarmUp = 4;
    std::vector<double> out;
    for (int i = 0; i < kWarmUp + count; ++i) {
      const double seconds = time([&] { enqueue(i); });
      if (i >= kWarmUp) out.push_back(units / seconds);
    }
    return out;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

std::byte* device_memory(std::size_t bytes) {
  void* memory = nullptr;
  require("cudaMalloc", cudaMalloc(&memory, bytes));
  return static_cast<std::byte*>(memory);
}
std::byte* random_memory(Timer& timer, std::size_t bytes, std::uint32_t seed) {
  std::byte* const memory = device_memory(bytes);
  fill_random(timer.stream(), reinterpret_cast<std::uint16_t*>(memory), bytes / 2, seed);
  return memory;
}

void print_device() {
  cudaDeviceProp found{};
  require("cudaGetDeviceProperties", cudaGetDeviceProperties(&found, 0));
  const auto attribute = [](cudaDeviceAttr which) {
    int value = 0;
    require("cudaDeviceGetAttribute", cudaDeviceGetAttribute(&value, which, 0));
    return value;
  };
  int driver = 0, runtime = 0;
  require("cudaDriverGetVersion", cudaDriverGetVersion(&driver));
  require("cudaRuntimeGetVersion", cudaRuntimeGetVersion(&runtime));
  std::size_t free_bytes = 0, total_bytes = 0;
  require("cudaMemGetInfo", cudaMemGetInfo(&free_bytes, &total_bytes));
  print_line({{"case", "device"},
              {"name", found.name},
              {"compute_capability", fmt::format("{}.{}", found.major, found.minor)},
              {"multiprocessors", found.multiProcessorCount},
              {"l2_bytes", found.l2CacheSize},
              {"shared_bytes_of_a_block", found.sharedMemPerBlockOptin},
              {"memory_bytes", total_bytes},
              {"free_bytes", free_bytes},
              {"clock_khz", attribute(cudaDevAttrClockRate)},
              {"memory_clock_khz", attribute(cudaDevAttrMemoryClockRate)},
              {"driver_cuda", driver},
              {"runtime_cuda", runtime}});
}

void print_nccl(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  auto* const get_version = library == nullptr ? nullptr : reinterpret_cast<int (*)(int*)>(dlsym(library, "ncclGetVersion"));
  int version = 0;
  if (get_version == nullptr || get_version(&version) != 0) {
    print_line({{"case", "nccl"}, {"file", path}, {"unusable", "ncclGetVersion does not answer"}});
  } else {
    print_line({{"case", "nccl"}, {"file", path}, {"version", version}});
  }
}

void measure_copies(Timer& timer) {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  constexpr int kBuffers = 4;
  std::vector<std::byte*> buffers;
  for (int i = 0; i < kBuffers; ++i) buffers.push_back(random_memory(timer, kBytes, static_cast<std::uint32_t>(i)));
  const auto buffer = [&](int i) { return buffers[static_cast<std::size_t>(i % kBuffers)]; };
  print_measured("device_copy", "GB/s read and written", timer.rates(20, 2e-9 * kBytes, [&](int i) {
    require("cudaMemcpyAsync", cudaMemcpyAsync(buffer(i), buffer(i + 1), kBytes, cudaMemcpyDeviceToDevice, timer.stream()));
  }));
  void* host = nullptr;
  require("cudaHostAlloc", cudaHostAlloc(&host, kBytes, cudaHostAllocPortable));
  require("cudaMemcpy", cudaMemcpy(host, buffer(0), kBytes, cudaMemcpyDeviceToHost));
  print_measured("host_to_device", "GB/s", timer.rates(8, 1e-9 * kBytes, [&](int i) {
    require("cudaMemcpyAsync", cudaMemcpyAsync(buffer(i), host, kBytes, cudaMemcpyHostToDevice, timer.stream()));
  }));
  print_measured("device_to_host", "GB/s", timer.rates(8, 1e-9 * kBytes, [&](int i) {
    require("cudaMemcpyAsync", cudaMemcpyAsync(host, buffer(i), kBytes, cudaMemcpyDeviceToHost, timer.stream()));
  }));
  require("cudaFreeHost", cudaFreeHost(host));
  for (std::byte* const memory : buffers) require("cudaFree", cudaFree(memory));
}

// y = x w^T of square matrices in bf16.
class SquareProducts {
 public:
  explicit SquareProducts(Timer& timer) : timer_(timer), y_(device_memory(kBytes)), row_count_(device_memory(sizeof(std::int32_t))) {
    for (std::uint32_t i = 0; i < kBuffers; ++i) {
      w_.push_back(random_memory(timer, kBytes, 10 + i));
      x_.push_back(random_memory(timer, kBytes, 20 + i));
    }
    const auto rows = static_cast<std::int32_t>(kSize);
    require("cudaMemcpy", cudaMemcpy(row_count_, &rows, sizeof(rows), cudaMemcpyHostToDevice));
  }

  void measure_own() {
    print_rates("product_own", 8, kShape, [&](int i) {
      linear(timer_.stream(), matrix(y_), matrix(at(x_, i)), matrix(at(w_, i)),
             {.row_count = reinterpret_cast<const std::int32_t*>(row_count_), .range_columns = linear_range_columns(kSize, kSize)});
      require("linear", cudaGetLastError());
    });
  }

  void measure_cublaslt(DeviceApi& device) {
    Result<OpenedCublas> opened = open_cublas(device);
    Status usable = opened ? opened->product->prepare(kSize, kSize, kSize, DType::bf16) : forward_error(opened);
    if (!usable) {
      print_line({{"case", "product_cublaslt"}, {"unusable", usable.error().message}});
      return;
    }
    nlohmann::json more = kShape;
    more["library"] = opened->name;
    print_rates("product_cublaslt", 20, more, [&](int i) {
      const Result<bool> enqueued = opened->product->multiply(timer_.stream(), matrix(y_), matrix(at(x_, i)), matrix(at(w_, i)));
      if (!enqueued) fail(enqueued.error().message);
      if (!*enqueued) fail(fmt::format("{} knows no way to compute the product", opened->name));
    });
  }

 private:
  static constexpr std::int64_t kSize = 8192;
  static constexpr std::size_t kBytes = 2 * kSize * kSize;
  static constexpr int kBuffers = 3;
  static inline const nlohmann::json kShape = {{"shape", {kSize, kSize, kSize}}, {"dtype", "bf16"}};

  static std::byte* at(const std::vector<std::byte*>& buffers, int i) { return buffers[static_cast<std::size_t>(i % kBuffers)]; }
  static Tensor matrix(std::byte* data) { return {data, DType::bf16, kSize, kSize, kSize}; }
  void print_rates(const char* name, int count, const nlohmann::json& more, const std::function<void(int)>& enqueue) {
    print_measured(name, "TFLOP/s", timer_.rates(count, 2e-12 * kSize * kSize * kSize, enqueue), more);
  }

  Timer& timer_;
  std::byte *const y_, *const row_count_;
  std::vector<std::byte*> w_, x_;
};

// Each kernel of the graph waits for the one before.
void measure_launches(Timer& timer) {
  constexpr int kLaunches = 1000, kSamples = 30;
  const auto make_graph = [&](int launches) {
    require("cudaStreamBeginCapture", cudaStreamBeginCapture(timer.stream(), cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < launches; ++i) launch_empty(timer.stream());
    cudaGraph_t captured = nullptr;
    require("cudaStreamEndCapture", cudaStreamEndCapture(timer.stream(), &captured));
    cudaGraphExec_t graph = nullptr;
    require("cudaGraphInstantiate", cudaGraphInstantiate(&graph, captured, 0));
    return graph;
  };
  const cudaGraphExec_t one = make_graph(1), many = make_graph(kLaunches);
  std::vector<double> gaps, eager, seen;
  for (int i = 0; i < kSamples; ++i) {
    const auto replay = [&](cudaGraphExec_t graph) {
      return timer.time([&] { require("cudaGraphLaunch", cudaGraphLaunch(graph, timer.stream())); });
    };
    const double alone = replay(one);
    gaps.push_back((replay(many) - alone) * 1e6 / (kLaunches - 1));
    const Clock::time_point begin = Clock::now();
    for (int k = 0; k < kLaunches; ++k) launch_empty(timer.stream());
    eager.push_back(seconds_since(begin) * 1e6 / kLaunches);
    require("cudaStreamSynchronize", cudaStreamSynchronize(timer.stream()));
  }
  print_measured("launch_gap_in_graph", "us", gaps);
  print_measured("launch_by_host", "us of the host", eager);
  cudaEvent_t event = nullptr;
  require("cudaEventCreate", cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  for (int i = 0; i < 10 * kSamples; ++i) {
    const Clock::time_point begin = Clock::now();
    require("cudaEventRecord", cudaEventRecord(event, timer.stream()));
    while (cudaEventQuery(event) == cudaErrorNotReady) continue;
    seen.push_back(seconds_since(begin) * 1e6);
  }
  static_cast<void>(cudaGetLastError());
  print_measured("event_latency", "us from its record until the host sees it", seen);
}

}  // namespace
}  // namespace slora::cuda

int main(int argc, char** argv) {
  using namespace slora;  // NOLINT: of this function
  const testing::ProgramOptions options(argc, argv, {{"nccl", ""}});
  const Result<std::unique_ptr<cuda::DeviceApi>> device = cuda::open_cudart_device(0);
  if (!device) testing::end_without_device(device.error());
  cuda::print_device();
  if (!options.text("nccl").empty()) cuda::print_nccl(options.text("nccl"));
  cuda::Timer timer;
  cuda::measure_launches(timer);
  cuda::measure_copies(timer);
  cuda::SquareProducts products(timer);
  products.measure_own();
  products.measure_cublaslt(**device);
}
