#include "comm/nccl/nccl_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kNumbersOfValue = sizeof(std::uint64_t) / sizeof(float);

std::uint64_t bytes_of_numbers(const Tensor& x) { return static_cast<std::uint64_t>(x.rows * x.cols) * sizeof(float); }
std::size_t count_of(const Tensor& x) { return static_cast<std::size_t>(x.rows * x.cols); }
float* numbers_of(const Tensor& x) { return x.row<float>(0); }

}  // namespace

Result<std::unique_ptr<NcclCommunicator>> NcclCommunicator::create(DeviceApi& device, Stream stream, std::unique_ptr<NcclRank> rank,
                                                                   const Options& options) {
  check(options.shard_index >= 0 && options.shard_index < options.shard_count, "expected the index of a shard");
  std::unique_ptr<NcclCommunicator> communicator(new NcclCommunicator(device, stream, std::move(rank), options));
  if (Status made = communicator->make(); !made) return forward_error(made);
  return communicator;
}

// All memory now: an allocation may wait for the device, where a collective may wait for another shard that allocates.
Status NcclCommunicator::make() {
  const std::size_t values = kNumbersOfValue * static_cast<std::size_t>(options_.shard_count);
  const std::size_t bytes = std::max(options_.numbers_at_once, values) * sizeof(float);
  for (Buffer* const buffer : {&own_, &all_}) {
    Result<Buffer> memory = allocate_buffer(device_, bytes);
    if (!memory) return forward_error(memory);
    *buffer = *std::move(memory);
  }
  for (const auto& [buffer, numbers] : {std::pair{&own_value_, kNumbersOfValue}, std::pair{&all_values_, values}}) {
    Result<Buffer> memory = allocate_host_buffer(device_, numbers * sizeof(float));
    if (!memory) return forward_error(memory);
    *buffer = *std::move(memory);
  }
  return {};
}

template <class Work>
void NcclCommunicator::for_each_block(const Tensor& x, std::int64_t cols, const Work& work) const {
  if (x.rows == 0 || cols == 0) return;
  const std::int64_t rows_max = static_cast<std::int64_t>(options_.numbers_at_once) / cols;
  check(rows_max > 0, "expected a row of at most numbers_at_once columns");
  for (std::int64_t row = 0; row < x.rows; row += rows_max) work(x.rows_from(row, std::min(rows_max, x.rows - row)));
}

// Rows that lie one after the other are one row to copy.
void NcclCommunicator::copy_rows(const Tensor& to, const Tensor& from) const {
  const bool are_packed = to.row_stride == to.cols && from.row_stride == from.cols;
  const auto bytes_from = [](std::int64_t numbers) { return static_cast<std::size_t>(numbers) * sizeof(float); };
  const std::size_t row_bytes = bytes_from(are_packed ? to.rows * to.cols : to.cols);
  require_done(device_.copy_rows(stream_, {.to = to.data,
                                           .to_stride = std::max(bytes_from(to.row_stride), row_bytes),
                                           .from = from.data,
                                           .from_stride = std::max(bytes_from(from.row_stride), row_bytes),
                                           .row_bytes = row_bytes,
                                           .rows = are_packed ? 1 : static_cast<std::size_t>(to.rows)}));
}

Tensor NcclCommunicator::matrix_in(const Buffer& memory, std::size_t skipped, std::int64_t rows, std::int64_t cols) {
  return {memory.data() + skipped * sizeof(float), DType::f32, rows, cols, cols};
}

// In place where rows lie one after the other, else in a copy, so that what is between them stays as it is.
void NcclCommunicator::all_reduce(Tensor x) {
  check(x.dtype == DType::f32, "expected fp32 numbers");
  for_each_block(x, x.cols, [&](const Tensor& rows) {
    const bool is_packed = rows.row_stride == rows.cols || rows.rows == 1;
    const Tensor sum = is_packed ? rows : matrix_in(own_, 0, rows.rows, rows.cols);
    if (!is_packed) copy_rows(sum, rows);
    require_done(rank_->all_reduce(stream_, numbers_of(sum), count_of(rows)));
    if (!is_packed) copy_rows(rows, sum);
  });
  ++counts_.all_reduces;
  counts_.all_reduce_bytes += bytes_of_numbers(x);
}

void NcclCommunicator::gather(Tensor x) {
  check(x.dtype == DType::f32 && x.cols % shard_count() == 0, "expected fp32 numbers in as many columns for every shard");
  const std::int64_t cols = x.cols / shard_count();
  for_each_block(x, x.cols, [&](const Tensor& rows) {
    const Tensor own = matrix_in(own_, 0, rows.rows, cols);
    copy_rows(own, rows.cols_from(shard_index() * cols, cols));
    require_done(rank_->all_gather(stream_, numbers_of(matrix_in(all_, 0, rows.rows, cols)), numbers_of(own), count_of(own)));
    for (int shard = 0; shard < shard_count(); ++shard) {
      if (shard == shard_index()) continue;
      copy_rows(rows.cols_from(shard * cols, cols), matrix_in(all_, static_cast<std::size_t>(shard) * count_of(own), rows.rows, cols));
    }
  });
  ++counts_.gathers;
  counts_.gather_bytes += bytes_of_numbers(x);
}

void NcclCommunicator::gather_to_first(Tensor x) {
  const bool is_first = shard_index() == 0;
  check(x.dtype == DType::f32 && (!is_first || x.cols % shard_count() == 0), "expected fp32 numbers in as many columns for every shard");
  const std::int64_t cols = is_first ? x.cols / shard_count() : x.cols;
  for_each_block(x, cols * shard_count(), [&](const Tensor& rows) {
    if (!is_first) {
      const Tensor own = matrix_in(own_, 0, rows.rows, cols);
      copy_rows(own, rows);
      require_done(rank_->send_to_first(stream_, numbers_of(own), count_of(own)));
      return;
    }
    const std::size_t count = static_cast<std::size_t>(rows.rows * cols);
    require_done(rank_->receive_from_others(stream_, numbers_of(matrix_in(all_, 0, rows.rows, cols)), count));
    for (int shard = 1; shard < shard_count(); ++shard) {
      copy_rows(rows.cols_from(shard * cols, cols), matrix_in(all_, static_cast<std::size_t>(shard - 1) * count, rows.rows, cols));
    }
  });
  ++counts_.gathers_to_first;
  counts_.gather_to_first_bytes += bytes_of_numbers(x.cols_from(0, cols)) * static_cast<std::uint64_t>(shard_count());
}

// Every shard compares all values with those of shard 0, so that each process ends that has a part in it.
void NcclCommunicator::expect_same(std::uint64_t value) {
  std::memcpy(own_value_.data(), &value, sizeof(value));
  require_done(device_.upload(stream_, own_.data(), own_value_.data(), own_value_.bytes()));
  require_done(
      rank_->all_gather(stream_, reinterpret_cast<float*>(all_.data()), reinterpret_cast<const float*>(own_.data()), kNumbersOfValue));
  require_done(device_.download(stream_, all_values_.data(), all_.data(), all_values_.bytes()));
  require_done(device_.synchronise(stream_));
  const auto value_of = [&](int shard) {
    std::uint64_t found = 0;
    std::memcpy(&found, all_values_.data() + static_cast<std::size_t>(shard) * sizeof(found), sizeof(found));
    return found;
  };
  for (int shard = 1; shard < shard_count(); ++shard) {
    if (value_of(shard) == value_of(0)) continue;
    check(false, fmt::format("shard {}: expected the same value as on shard 0, {:#x}; found {:#x}", shard, value_of(0), value_of(shard)));
  }
}

}  // namespace slora::cuda
