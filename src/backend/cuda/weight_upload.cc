#include "backend/cuda/weight_upload.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::int64_t kElementsOfUnit = 8;
constexpr std::chrono::milliseconds kWaitOfPiece{1000};  // after which it is asked again

std::int64_t padded(std::int64_t in) { return (in + kElementsOfUnit - 1) / kElementsOfUnit * kElementsOfUnit; }

template <class T>
void convert_row(Bfloat16* to, const T* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = to_bfloat16(to_float(from[i]));
}

// One row, and the zeros behind it.
void pack_row(Bfloat16* to, const Tensor& rows, std::int64_t row) {
  switch (rows.dtype) {
    case DType::bf16:
      std::memcpy(to, rows.row_bytes(row), static_cast<std::size_t>(rows.cols) * sizeof(Bfloat16));
      break;
    case DType::f16:
      convert_row(to, rows.row<Float16>(row), rows.cols);
      break;
    case DType::f32:
      convert_row(to, rows.row<float>(row), rows.cols);
      break;
    default:
      check(false, "expected rows in f32, f16 or bf16");
  }
  std::fill(to + rows.cols, to + padded(rows.cols), Bfloat16{0});
}

}  // namespace

std::size_t WeightUpload::weight_bytes(std::int64_t out, std::int64_t in) {
  return static_cast<std::size_t>(out * padded(in)) * sizeof(Bfloat16);
}

Result<LinearWeight> WeightUpload::make(std::int64_t out, std::int64_t in) {
  Result<Buffer> memory = allocate_buffer(device_, weight_bytes(out, in));
  if (!memory) return forward_error(memory);
  LinearWeight weight;
  weight.out = out;
  weight.in = in;
  weight.packed = *std::move(memory);
  return weight;
}

Tensor WeightUpload::matrix_of(const LinearWeight& weight) {
  return {weight.packed.data(), DType::bf16, weight.out, weight.in, padded(weight.in)};
}

Result<std::unique_ptr<WeightUpload::Lane>> WeightUpload::take_lane() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Lane> lane = std::move(idle_.back());
      idle_.pop_back();
      return lane;
    }
  }
  auto lane = std::make_unique<Lane>();
  Result<Stream> stream = device_.make_stream(StreamPriority::normal);
  if (!stream) return forward_error(stream);
  lane->stream = Owned<Stream>(device_, *stream);
  for (Piece& piece : lane->pieces) {
    Result<Buffer> memory = allocate_host_buffer(device_, piece_bytes_);
    if (!memory) return forward_error(memory);
    piece.memory = *std::move(memory);
    Result<Event> event = device_.make_event();
    if (!event) return forward_error(event);
    piece.is_free = Owned<Event>(device_, *event);
  }
  return lane;
}

Status WeightUpload::pack_rows(const LinearWeight& weight, std::int64_t row_begin, Tensor rows) {
  check(rows.cols == weight.in, "expected rows of the weight's width");
  Result<std::unique_ptr<Lane>> lane = take_lane();
  if (!lane) return forward_error(lane);
  Status uploaded = upload_rows(**lane, matrix_of(weight).rows_from(row_begin, rows.rows), rows);
  // Also after an error: the pieces are freed with the lane.
  Status done = device_.synchronise((*lane)->stream.get());
  if (!uploaded) return uploaded;
  if (!done) return done;
  const std::lock_guard lock(mutex_);
  idle_.push_back(*std::move(lane));
  return {};
}

Status WeightUpload::upload_rows(Lane& lane, const Tensor& to, const Tensor& rows) const {
  const std::size_t row_bytes = static_cast<std::size_t>(to.row_stride) * sizeof(Bfloat16);
  check(row_bytes <= piece_bytes_, "expected a row of a weight to fit in a piece");
  const auto piece_rows = static_cast<std::int64_t>(piece_bytes_ / row_bytes);
  std::size_t turn = 0;
  for (std::int64_t begin = 0; begin < rows.rows; begin += piece_rows) {
    const Piece& piece = lane.pieces[turn++ % lane.pieces.size()];
    for (bool is_free = false; !is_free;) {
      Result<bool> waited = device_.synchronise(piece.is_free.get(), kWaitOfPiece);
      if (!waited) return forward_error(waited);
      is_free = *waited;
    }
    const std::int64_t count = std::min(piece_rows, rows.rows - begin);
    auto* const packed = reinterpret_cast<Bfloat16*>(piece.memory.data());
    for (std::int64_t row = 0; row < count; ++row) pack_row(packed + row * to.row_stride, rows, begin + row);
    const std::size_t bytes = static_cast<std::size_t>(count) * row_bytes;
    if (Status status = device_.upload(lane.stream.get(), to.row_bytes(begin), packed, bytes); !status) return status;
    if (Status status = device_.record(piece.is_free.get(), lane.stream.get()); !status) return status;
  }
  return {};
}

}  // namespace slora::cuda
