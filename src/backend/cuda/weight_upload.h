#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/cuda/device_api.h"
#include "backend/cuda/device_owners.h"
#include "backend/op_args.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Brings the weights of products to the device: W [out, in] in bf16, row after row, each followed by zeros up to a multiple of 8 elements,
// so that every row begins at a multiple of 16 bytes. Rows go through pieces of page-locked memory, of which each loading thread has two:
// one is filled while the other is copied. Owned by a backend; any thread.
class WeightUpload {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

  // The device outlives it.
  explicit WeightUpload(DeviceApi& device, std::size_t piece_bytes = kPieceBytes) : device_(device), piece_bytes_(piece_bytes) {}

  [[nodiscard]] static std::size_t weight_bytes(std::int64_t out, std::int64_t in);
  // A weight whose rows have no particular content yet.
  [[nodiscard]] Result<LinearWeight> make(std::int64_t out, std::int64_t in);
  // The matrix as ops read it, in memory of the device.
  [[nodiscard]] static Tensor matrix_of(const LinearWeight& weight);

  // Rows [row_begin, row_begin + rows.rows) from memory of the host in f32, f16 or bf16. They are there when the call returns. Requires: a
  // row fits in a piece.
  [[nodiscard]] Status pack_rows(const LinearWeight& weight, std::int64_t row_begin, Tensor rows);

 private:
  struct Piece {
    Buffer memory;         // page-locked
    Owned<Event> is_free;  // done when the device has read it
  };
  struct Lane {
    Owned<Stream> stream;
    std::array<Piece, 2> pieces;
  };
  [[nodiscard]] Result<std::unique_ptr<Lane>> take_lane();
  [[nodiscard]] Status upload_rows(Lane& lane, const Tensor& to, const Tensor& rows) const;

  DeviceApi& device_;
  const std::size_t piece_bytes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;  // guarded by mutex_; as many as threads have packed at the same time
};

}  // namespace slora::cuda
