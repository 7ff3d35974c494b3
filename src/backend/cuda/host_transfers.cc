#include "backend/cuda/host_transfers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"

namespace slora::cuda {

Result<std::unique_ptr<HostTransfers>> HostTransfers::create(DeviceApi& device, Stream stream) {
  Result<Buffer> piece = allocate_host_buffer(device, kPieceBytes);
  if (!piece) return forward_error(piece);
  return std::unique_ptr<HostTransfers>(new HostTransfers(device, stream, *std::move(piece)));
}

template <class Visit, class Flush>
void HostTransfers::visit_parts(const Tensor& tensor, const Visit& visit, const Flush& flush) const try {
  const std::size_t row_bytes = static_cast<std::size_t>(tensor.cols) * bytes_of(tensor.dtype);
  const bool is_packed = tensor.row_stride == tensor.cols;
  const std::int64_t strips = is_packed ? 1 : tensor.rows;
  const std::size_t strip_bytes = is_packed ? static_cast<std::size_t>(tensor.rows) * row_bytes : row_bytes;
  std::size_t used = 0;
  for (std::int64_t strip = 0; strip < strips; ++strip) {
    for (std::size_t done = 0; done < strip_bytes;) {
      if (used == kPieceBytes) {
        flush();
        used = 0;
      }
      const std::size_t count = std::min(strip_bytes - done, kPieceBytes - used);
      visit(tensor.row_bytes(strip) + done, static_cast<std::size_t>(strip) * strip_bytes + done, used, count);
      used += count;
      done += count;
    }
  }
  flush();
} catch (const DeviceError&) {
  static_cast<void>(device_.synchronise(stream_));
  throw;
}

void HostTransfers::upload(Tensor to, const void* from) {
  const std::lock_guard lock(mutex_);
  const auto* const source = static_cast<const std::byte*>(from);
  visit_parts(
      to,
      [&](std::byte* at_device, std::size_t offset, std::size_t in_piece, std::size_t bytes) {
        std::memcpy(piece_.data() + in_piece, source + offset, bytes);
        require_done(device_.upload(stream_, at_device, piece_.data() + in_piece, bytes));
      },
      [&] { require_done(device_.synchronise(stream_)); });
}

void HostTransfers::download(void* to, Tensor from) {
  const std::lock_guard lock(mutex_);
  require_done(device_.last_error());  // of the ops' launches
  auto* const target = static_cast<std::byte*>(to);
  std::size_t begin = 0, end = 0;  // of the host's bytes that the piece holds
  visit_parts(
      from,
      [&](const std::byte* at_device, std::size_t, std::size_t in_piece, std::size_t bytes) {
        require_done(device_.download(stream_, piece_.data() + in_piece, at_device, bytes));
        end += bytes;
      },
      [&] {
        require_done(device_.synchronise(stream_));
        if (end > begin) std::memcpy(target + begin, piece_.data(), end - begin);
        begin = end;
      });
}

void HostTransfers::clear(std::byte* memory, std::size_t bytes) {
  require_done(device_.fill_bytes(stream_, memory, 0, bytes));
  require_done(device_.synchronise(stream_));
}

}  // namespace slora::cuda
