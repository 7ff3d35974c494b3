#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace slora {

// Collectives of one shard so far, and the bytes of the tensors that they worked on.
struct CollectiveCounts {
  std::uint64_t all_reduces = 0, all_reduce_bytes = 0;
  std::uint64_t gathers = 0, gather_bytes = 0;

  // Bytes that each shard sends with ring algorithms: an all-reduce is a reduce-scatter and a gather.
  [[nodiscard]] double sent_bytes(int shard_count) const {
    return static_cast<double>(2 * all_reduce_bytes + gather_bytes) * (shard_count - 1) / shard_count;
  }
};

// How one shard of a model exchanges data with the others. Each shard has its own, used by the thread that computes the shard. Every call
// is made on all shards, in the same order and with tensors of the same shape, and returns when this shard's tensor holds the result.
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int shard_index() const = 0;
  [[nodiscard]] virtual int shard_count() const = 0;
  // x [T, cols] fp32 becomes the sum over shards, the same bits on every shard.
  virtual void all_reduce(Tensor x) = 0;
  // Shard s has computed columns [s * cols / shard_count, (s + 1) * cols / shard_count) of x [T, cols] fp32; afterwards every shard has
  // all columns. Requires: shard_count divides cols.
  virtual void gather(Tensor x) = 0;
  // Ends the process with a message that names the shard, unless all shards pass the same value: a fingerprint of what they are about to
  // do.
  virtual void expect_same(std::uint64_t value) = 0;

  [[nodiscard]] const CollectiveCounts& counts() const { return counts_; }

 protected:
  CollectiveCounts counts_;
};

// One shard: every tensor is complete as it is.
class SingleCommunicator final : public Communicator {
 public:
  [[nodiscard]] int shard_index() const override { return 0; }
  [[nodiscard]] int shard_count() const override { return 1; }
  void all_reduce(Tensor) override {}
  void gather(Tensor) override {}
  void expect_same(std::uint64_t) override {}
};

}  // namespace slora
