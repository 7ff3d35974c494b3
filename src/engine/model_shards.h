#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapters/rope_parts.h"
#include "backend/page_arena.h"
#include "comm/communicator.h"
#include "model/model.h"

namespace slora {

// One shard of a model with everything that it computes with.
struct ModelShard {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> communicator;
  std::unique_ptr<PageArena> arena;
  std::unique_ptr<Model> model;  // last: uses the others
};

// All shards of a model, driven as one. Shard 0 computes on the calling thread, each other shard on a thread of its own, all with the same
// batch but with their own adapter views and arenas; page numbers mean the same on every shard. Owned by the runtime; forward() and
// logits() are called by the engine thread. A failure on any shard ends the process with a message that names the shard: the others wait
// for it in a collective. A DeviceError is kept in failure() and leaves the call, which returns nevermore where there are several shards.
class ModelShards {
 public:
  // Requires: at least one shard; arenas of equal pages.
  explicit ModelShards(std::vector<ModelShard> shards);
  ~ModelShards();
  ModelShards(const ModelShards&) = delete;
  ModelShards& operator=(const ModelShards&) = delete;

  // As Model's. The batch's segments name the views of shard 0, which have those of the others with them.
  void forward(const ForwardBatch& batch, const std::function<void()>& after_layer = {});
  // Of shard 0, which has all logits.
  [[nodiscard]] Tensor logits(const ForwardBatch& batch, const OutputBlock& block);

  // Whether the host may read Model::hidden() once forward() has returned: the backend computes at once, in the host's memory.
  [[nodiscard]] bool gives_hidden() const {
    const Backend& backend = *shards_.front().backend;
    return backend.shares_host_memory() && backend.depth() == 1;
  }

  // The row of position 0 in the part of the RoPE tables, which are computed if it was another's before. Any thread that holds the part.
  [[nodiscard]] std::int32_t rope_begin_of(const RopePart& part);

  // Changes while the backends compute. Any thread.
  [[nodiscard]] std::uint64_t progress() const;
  // Why the devices will not compute any more; nothing while they may. Any thread.
  [[nodiscard]] std::optional<std::string> failure() const;

  [[nodiscard]] std::int32_t shard_count() const { return static_cast<std::int32_t>(shards_.size()); }
  [[nodiscard]] const ModelShard& shard(std::int32_t index) const { return shards_[static_cast<std::size_t>(index)]; }
  [[nodiscard]] const Model& first_model() const { return *shards_.front().model; }
  // Of shard 0, which has all logits.
  [[nodiscard]] Backend& backend() { return *shards_.front().backend; }
  [[nodiscard]] Ops& ops() { return backend().ops(); }
  // Pages that every shard has.
  [[nodiscard]] std::uint32_t page_count() const;

 private:
  class Worker;
  struct Call;
  struct Failure;
  // The segments of a call with the views of one shard; a buffer that is reused.
  struct LocalSegments {
    std::vector<AdapterSegment> batch, block;
  };

  // Computes a call on one shard; returns the logits, if it asks for them.
  static Tensor compute(ModelShard& shard, LocalSegments& segments, const Call& call, Failure& failed);
  // Computes it on all shards.
  Tensor compute_on_all(const Call& call);

  const std::unique_ptr<Failure> failure_;
  std::vector<ModelShard> shards_;
  std::mutex rope_mutex_;
  std::array<std::uint64_t, kRopePartsMax> rope_numbers_{};  // of the parts that are in the tables; guarded by rope_mutex_
  LocalSegments segments_;                                   // of shard 0
  std::vector<std::unique_ptr<Worker>> workers_;             // of shards 1, 2, ...
};

}  // namespace slora
