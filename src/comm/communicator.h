#pragma once
#include "tensor/tensor.h"

namespace slora {

// How the shards of one model talk. Collectives are called by every shard's engine thread in the same order.
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int shard_index() const = 0;
  [[nodiscard]] virtual int shard_count() const = 0;
  // x [T, cols] fp32 becomes the sum over shards, the same bits on every shard.
  virtual void all_reduce(Tensor x) = 0;
  // Shard s computed columns [s * cols / shard_count, ...) of z [T, cols] fp32; afterwards every shard has all of them.
  virtual void gather(Tensor z) = 0;
};

// One shard: nothing to say.
class SingleCommunicator final : public Communicator {
 public:
  [[nodiscard]] int shard_index() const override { return 0; }
  [[nodiscard]] int shard_count() const override { return 1; }
  void all_reduce(Tensor) override {}
  void gather(Tensor) override {}
};

}  // namespace slora
