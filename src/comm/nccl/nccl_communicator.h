#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "backend/cuda/device_api.h"
#include "comm/communicator.h"
#include "comm/nccl/nccl_rank.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// A shard on a CUDA device. Tensors are in its memory; a call enqueues its work in one stream, behind the ops that were called before, and
// ops that are called later find the result. Only expect_same() waits for the device. Errors of the device are thrown as DeviceError.
class NcclCommunicator final : public Communicator {
 public:
  struct Options {
    int shard_index = 0;
    int shard_count = 1;
    // Tensors are exchanged through memory of two times as many fp32 numbers, a block of rows at a time; at least those of one row with
    // the columns of all shards. Equal on all shards.
    std::size_t numbers_at_once = std::size_t{1} << 20;
  };
  // Device and stream outlive it.
  [[nodiscard]] static Result<std::unique_ptr<NcclCommunicator>> create(DeviceApi& device, Stream stream, std::unique_ptr<NcclRank> rank,
                                                                        const Options& options);

  [[nodiscard]] int shard_index() const override { return options_.shard_index; }
  [[nodiscard]] int shard_count() const override { return options_.shard_count; }
  void all_reduce(Tensor x) override;
  void gather(Tensor x) override;
  void gather_to_first(Tensor x) override;
  void expect_same(std::uint64_t value) override;

 private:
  NcclCommunicator(DeviceApi& device, Stream stream, std::unique_ptr<NcclRank> rank, const Options& options)
      : device_(device), stream_(stream), rank_(std::move(rank)), options_(options) {}
  [[nodiscard]] Status make();
  // Calls work(rows) for blocks of x's rows whose `cols` columns fit in the memory for them.
  template <class Work>
  void for_each_block(const Tensor& x, std::int64_t cols, const Work& work) const;
  void copy_rows(const Tensor& to, const Tensor& from) const;
  [[nodiscard]] static Tensor matrix_in(const Buffer& memory, std::size_t skipped, std::int64_t rows, std::int64_t cols);

  DeviceApi& device_;
  const Stream stream_;
  const std::unique_ptr<NcclRank> rank_;
  const Options options_;
  Buffer own_, all_;               // [numbers_at_once] of the device: what this shard gives, what all gave
  Buffer own_value_, all_values_;  // [2], [shard_count, 2] of the host, page-locked
};

}  // namespace slora::cuda
