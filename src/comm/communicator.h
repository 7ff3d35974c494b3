#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace slora {

// Collectives of one shard so far, and the bytes of the tensors that they worked on: of the whole tensor, with the parts of all shards.
struct CollectiveCounts {
  std::uint64_t all_reduces = 0, all_reduce_bytes = 0;
  std::uint64_t gathers = 0, gather_bytes = 0;
  std::uint64_t gathers_to_first = 0, gather_to_first_bytes = 0;

  // Bytes that each shard sends with ring algorithms: an all-reduce is a reduce-scatter and a gather. In a gather to the first shard every
  // other one sends its part.
  [[nodiscard]] double sent_bytes(int shard_count) const {
    const double in_rings = static_cast<double>(2 * all_reduce_bytes + gather_bytes) * (shard_count - 1);
    return (in_rings + (shard_count > 1 ? static_cast<double>(gather_to_first_bytes) : 0.0)) / shard_count;
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
  // Shard 0 passes x [T, shard_count * cols] fp32, of which it has computed the first `cols` columns; every other shard passes the columns
  // that it has computed, [T, cols]. Afterwards shard 0 has the columns of all shards, in the order of the shards.
  virtual void gather_to_first(Tensor x) = 0;
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
  void gather_to_first(Tensor) override {}
  void expect_same(std::uint64_t) override {}
};

}  // namespace slora
