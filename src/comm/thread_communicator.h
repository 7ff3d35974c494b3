#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "comm/communicator.h"

namespace slora {

// Shards that are threads of one process and read each other's tensors where they are. A tensor is shared only during the call that
// it is passed to.
class ThreadCommunicator final : public Communicator {
 public:
  // The communicators of all shards, in their order. Each is used by its shard's thread.
  [[nodiscard]] static std::vector<std::unique_ptr<Communicator>> make_group(int shard_count);

  [[nodiscard]] int shard_index() const override { return shard_index_; }
  [[nodiscard]] int shard_count() const override;
  // Sums in the order of the shards.
  void all_reduce(Tensor x) override;
  void gather(Tensor x) override;
  void gather_to_first(Tensor x) override;
  void expect_same(std::uint64_t value) override;

 private:
  class Rendezvous;
  struct Contribution;

  ThreadCommunicator(std::shared_ptr<Rendezvous> rendezvous, int shard_index);
  // Waits until every shard has made the same call, then returns what they passed, [shard_count]. end_call() must follow. Ends the process
  // when the calls differ, before any shard touches the tensor of another.
  [[nodiscard]] const Contribution* begin_call(const Contribution& own);
  // Waits until every shard is done with what was passed.
  void end_call();

  const std::shared_ptr<Rendezvous> rendezvous_;  // shared by the group, whose members are destroyed in any order
  const int shard_index_;
};

}  // namespace slora
