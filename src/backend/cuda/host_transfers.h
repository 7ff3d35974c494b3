#pragma once
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "backend/cuda/device_api.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Copies between any memory of the host and the device, in the order of one stream: each call waits for all that is in the stream. The
// bytes go through a piece of page-locked memory. Owned by a backend; any thread.
class HostTransfers {
 public:
  // The device outlives it, and so does the stream.
  [[nodiscard]] static Result<std::unique_ptr<HostTransfers>> create(DeviceApi& device, Stream stream);

  // Packed rows in memory of the host.
  void upload(Tensor to, const void* from);
  void download(void* to, Tensor from);
  // Zeros.
  void clear(std::byte* memory, std::size_t bytes);

 private:
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

  HostTransfers(DeviceApi& device, Stream stream, Buffer piece) : device_(device), stream_(stream), piece_(std::move(piece)) {}
  // Calls visit(address in the device, offset in the host's bytes, offset in the piece, bytes) for contiguous parts of the tensor in order,
  // and flush() when the piece is full and at the end.
  // After an error too, nothing may be left in the stream that uses the caller's memory.
  template <class Visit, class Flush>
  void visit_parts(const Tensor& tensor, const Visit& visit, const Flush& flush) const;

  DeviceApi& device_;
  const Stream stream_;
  std::mutex mutex_;
  const Buffer piece_;  // guarded by mutex_
};

}  // namespace slora::cuda
