#include "backend/cuda/cudart/cudart_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace slora::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int32_t kMajorMin = 8;  // of the compute capability: bf16 products and asynchronous copies
constexpr std::chrono::microseconds kSpin{20}, kPauseMin{10}, kPauseMax{100};

// What the runtime's words leave open for who reads them in a log.
std::string_view explanation_of(cudaError_t result) {
  switch (result) {
    case cudaErrorNoDevice:
      return "; this machine has no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it";
    case cudaErrorInsufficientDriver:
      return "; this machine has no NVIDIA driver, or one that is older than the CUDA runtime needs";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "; the kernels have no code for this GPU, and the driver can't make any: a newer driver may";
    default:
      return "";
  }
}

// What a call returned, as a value. An error that is told here is not told again by last_error(), unless the device has failed for good.
Status status_of(const char* call, cudaError_t result) {
  if (result == cudaSuccess) return {};
  static_cast<void>(cudaGetLastError());
  return error(std::string(result == cudaErrorMemoryAllocation ? kNoMemory : "E_DEVICE"), "{}: {}: {}{}", call, cudaGetErrorName(result),
               cudaGetErrorString(result), explanation_of(result));
}
template <class T>
Result<T> result_of(const char* call, cudaError_t result, T value) {
  if (Status status = status_of(call, result); !status) return forward_error(status);
  return value;
}

// Constant after construction.
class CudartDevice final : public DeviceApi {
 public:
  CudartDevice(std::int32_t index, DeviceProperties properties, std::int32_t priority_low, std::int32_t priority_high)
      : index_(index), properties_(std::move(properties)), priority_low_(priority_low), priority_high_(priority_high) {}

  Result<DeviceProperties> properties() override { return properties_; }
  Result<DeviceMemoryBytes> memory() override {
    if (Status selected = select(); !selected) return forward_error(selected);
    DeviceMemoryBytes bytes;
    const cudaError_t found = cudaMemGetInfo(&bytes.free, &bytes.total);
    return result_of("cudaMemGetInfo", found, bytes);
  }

  Result<std::byte*> allocate(std::size_t bytes) override {
    if (Status selected = select(); !selected) return forward_error(selected);
    void* memory = nullptr;
    const cudaError_t allocated = cudaMalloc(&memory, bytes);
    return result_of("cudaMalloc", allocated, static_cast<std::byte*>(memory));
  }
  Status free(std::byte* memory) override { return status_of("cudaFree", cudaFree(memory)); }
  Result<std::byte*> allocate_host(std::size_t bytes) override {
    if (Status selected = select(); !selected) return forward_error(selected);
    void* memory = nullptr;
    const cudaError_t allocated = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable);
    return result_of("cudaHostAlloc", allocated, static_cast<std::byte*>(memory));
  }
  Status free_host(std::byte* memory) override { return status_of("cudaFreeHost", cudaFreeHost(memory)); }
  Status synchronise(Stream stream) override { return status_of("cudaStreamSynchronize", cudaStreamSynchronize(stream)); }

  Result<Stream> make_stream(StreamPriority priority) override {
    if (Status selected = select(); !selected) return forward_error(selected);
    Stream stream = nullptr;
    const std::int32_t number = priority == StreamPriority::high ? priority_high_ : priority_low_;
    const cudaError_t made = cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, number);
    return result_of("cudaStreamCreateWithPriority", made, stream);
  }
  Result<Event> make_event() override {
    if (Status selected = select(); !selected) return forward_error(selected);
    Event event = nullptr;
    const cudaError_t made = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    return result_of("cudaEventCreateWithFlags", made, event);
  }
  Status destroy(Stream stream) override { return status_of("cudaStreamDestroy", cudaStreamDestroy(stream)); }
  Status destroy(Event event) override { return status_of("cudaEventDestroy", cudaEventDestroy(event)); }
  Status destroy(Graph graph) override { return status_of("cudaGraphExecDestroy", cudaGraphExecDestroy(graph)); }

  Status upload(Stream stream, void* to, const void* from, std::size_t bytes) override {
    return copy_async("cudaMemcpyAsync to the device", stream, to, from, bytes, cudaMemcpyHostToDevice);
  }
  Status upload_pieces(Stream stream, std::span<const PieceCopy> pieces) override;
  Status download(Stream stream, void* to, const void* from, std::size_t bytes) override {
    return copy_async("cudaMemcpyAsync to the host", stream, to, from, bytes, cudaMemcpyDeviceToHost);
  }
  Status copy_rows(Stream stream, const RowCopy& rows) override {
    return status_of("cudaMemcpy2DAsync within the device", cudaMemcpy2DAsync(rows.to, rows.to_stride, rows.from, rows.from_stride,
                                                                              rows.row_bytes, rows.rows, cudaMemcpyDeviceToDevice, stream));
  }
  Status fill_bytes(Stream stream, void* to, std::uint8_t value, std::size_t bytes) override {
    return status_of("cudaMemsetAsync", cudaMemsetAsync(to, value, bytes, stream));
  }

  Status record(Event event, Stream stream) override { return status_of("cudaEventRecord", cudaEventRecord(event, stream)); }
  Status wait(Stream stream, Event event) override { return status_of("cudaStreamWaitEvent", cudaStreamWaitEvent(stream, event, 0)); }
  Result<bool> is_done(Event event) override;
  Result<bool> synchronise(Event event, std::chrono::milliseconds limit) override;

  Status begin_capture(Stream stream) override {
    // ThreadLocal: loading threads may allocate meanwhile.
    return status_of("cudaStreamBeginCapture", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  }
  Result<Graph> end_capture(Stream stream) override;
  Status replay(Graph graph, Stream stream) override { return status_of("cudaGraphLaunch", cudaGraphLaunch(graph, stream)); }

  Status last_error() override { return status_of("launch", cudaGetLastError()); }

 private:
  // A thread begins with device 0.
  [[nodiscard]] Status select() const { return status_of("cudaSetDevice", cudaSetDevice(index_)); }
  static Status copy_async(const char* call, Stream stream, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return status_of(call, cudaMemcpyAsync(to, from, bytes, kind, stream));
  }

  const std::int32_t index_;
  const DeviceProperties properties_;
  const std::int32_t priority_low_, priority_high_;  // the higher priority is the smaller number
};

Status CudartDevice::upload_pieces(Stream stream, std::span<const PieceCopy> pieces) {
  if (pieces.empty()) return {};
  std::vector<void*> to;
  std::vector<const void*> from;
  std::vector<std::size_t> bytes;
  for (const PieceCopy& piece : pieces) {
    to.push_back(piece.to);
    from.push_back(piece.from);
    bytes.push_back(piece.bytes);
  }
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  attributes.flags = cudaMemcpyFlagPreferOverlapWithCompute;
  std::size_t first = 0;  // the piece from which on the attributes hold
  return status_of("cudaMemcpyBatchAsync",
                   cudaMemcpyBatchAsync(to.data(), from.data(), bytes.data(), pieces.size(), &attributes, &first, 1, stream));
}

Result<bool> CudartDevice::is_done(Event event) {
  const cudaError_t found = cudaEventQuery(event);
  if (found == cudaErrorNotReady) {  // which is no error, but may be kept as one
    if (cudaPeekAtLastError() == cudaErrorNotReady) static_cast<void>(cudaGetLastError());
    return false;
  }
  return result_of("cudaEventQuery", found, true);
}

// The runtime waits for events without a limit only. Pauses grow, so that a long wait takes no core and a short one ends in time.
Result<bool> CudartDevice::synchronise(Event event, std::chrono::milliseconds limit) {
  const Clock::time_point begin = Clock::now();
  std::chrono::microseconds pause = kPauseMin;
  for (;;) {
    Result<bool> done = is_done(event);
    if (!done || *done) return done;
    const Clock::duration waited = Clock::now() - begin;
    if (waited >= limit) return false;
    if (waited < kSpin) continue;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kPauseMax);
  }
}

// Uploaded at once, so that a graph which finds no memory on the device fails here and not when it is first replayed.
Result<Graph> instantiate(cudaGraph_t captured, Stream stream) {
  Graph graph = nullptr;
  if (Status made = status_of("cudaGraphInstantiate", cudaGraphInstantiate(&graph, captured, 0)); !made) return forward_error(made);
  if (Status uploaded = status_of("cudaGraphUpload", cudaGraphUpload(graph, stream)); !uploaded) {
    static_cast<void>(cudaGraphExecDestroy(graph));
    return forward_error(uploaded);
  }
  return graph;
}

Result<Graph> CudartDevice::end_capture(Stream stream) {
  cudaGraph_t captured = nullptr;
  if (Status ended = status_of("cudaStreamEndCapture", cudaStreamEndCapture(stream, &captured)); !ended) return forward_error(ended);
  Result<Graph> graph = instantiate(captured, stream);
  if (Status destroyed = status_of("cudaGraphDestroy", cudaGraphDestroy(captured)); graph && !destroyed) {
    static_cast<void>(cudaGraphExecDestroy(*graph));
    return forward_error(destroyed);
  }
  return graph;
}

Result<DeviceProperties> read_properties(std::int32_t index) {
  cudaDeviceProp found{};
  if (Status read = status_of("cudaGetDeviceProperties", cudaGetDeviceProperties(&found, index)); !read) return forward_error(read);
  return DeviceProperties{.name = found.name,
                          .multiprocessors = found.multiProcessorCount,
                          .major = found.major,
                          .minor = found.minor,
                          .shared_bytes_max = found.sharedMemPerBlockOptin};
}

}  // namespace

Result<std::unique_ptr<DeviceApi>> open_cudart_device(std::int32_t index) {
  std::int32_t count = 0;
  if (Status counted = status_of("cudaGetDeviceCount", cudaGetDeviceCount(&count)); !counted) return forward_error(counted);
  if (index < 0 || index >= count) {
    return error("E_DEVICE", "CUDA device: expected a number below {}, that of the machine's devices, found {}", count, index);
  }
  Result<DeviceProperties> properties = read_properties(index);
  if (!properties) return forward_error(properties);
  if (properties->major < kMajorMin) {
    return error("E_DEVICE", "CUDA device {} ({}): expected compute capability {}.0 or higher, found {}.{}", index, properties->name,
                 kMajorMin, properties->major, properties->minor);
  }
  if (Status selected = status_of("cudaSetDevice", cudaSetDevice(index)); !selected) return forward_error(selected);
  std::int32_t low = 0, high = 0;
  const cudaError_t ranged = cudaDeviceGetStreamPriorityRange(&low, &high);
  if (Status status = status_of("cudaDeviceGetStreamPriorityRange", ranged); !status) return forward_error(status);
  return std::make_unique<CudartDevice>(index, *std::move(properties), low, high);
}

}  // namespace slora::cuda
