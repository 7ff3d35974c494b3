#include "engine/model_shards.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "model/batch_fingerprint.h"

namespace slora {
namespace {

// The same segments with the adapters' views of a shard. Replaces `out`, which the result borrows.
AdapterBatch on_shard(std::vector<AdapterSegment>& out, const AdapterBatch& adapters, std::int32_t shard) {
  out.assign(adapters.segments.begin(), adapters.segments.end());
  for (AdapterSegment& segment : out) segment.adapter = &segment.adapter->of_shard(shard);
  AdapterBatch local = adapters;
  local.segments = out;
  return local;
}

void forward_on(const ModelShard& shard, const ForwardBatch& batch, const std::function<void()>& after_layer) {
  if (shard.communicator->shard_count() > 1) shard.communicator->expect_same(fingerprint(batch));
  shard.model->forward(batch, shard.arena->base(), after_layer);
}

}  // namespace

// The thread of one shard and the call that it works on. start() and wait() are called in turn by the engine thread.
class ModelShards::Worker {
 public:
  explicit Worker(ModelShard& shard) : shard_(shard), index_(shard.communicator->shard_index()) {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), fmt::format("shard {}", index_).c_str());
  }
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // `block` is null for a forward pass. Both outlive wait().
  void start(const ForwardBatch& batch, const OutputBlock* block) {
    {
      const std::lock_guard lock(mutex_);
      batch_ = &batch;
      block_ = block;
    }
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return batch_ == nullptr; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return is_stopping_ || batch_ != nullptr; });
      if (is_stopping_) return;
      lock.unlock();
      compute();
      lock.lock();
      batch_ = nullptr;
      changed_.notify_all();
    }
  }

  void compute() {
    try {
      ForwardBatch batch = *batch_;
      batch.adapters = on_shard(segments_, batch_->adapters, index_);
      if (block_ == nullptr) {
        forward_on(shard_, batch, {});
      } else {
        (void)shard_.model->logits(batch, {block_->rows, on_shard(block_segments_, block_->adapters, index_)});
      }
    } catch (const std::exception& failure) {
      check(false, fmt::format("shard {}: expected to compute its part of a step: {}", index_, failure.what()));
    }
  }

  ModelShard& shard_;
  const std::int32_t index_;
  std::vector<AdapterSegment> segments_, block_segments_;  // of the thread
  std::mutex mutex_;
  std::condition_variable changed_;
  const ForwardBatch* batch_ = nullptr;  // guarded by mutex_; null: nothing to do
  const OutputBlock* block_ = nullptr;   // guarded by mutex_
  bool is_stopping_ = false;             // guarded by mutex_
  std::thread thread_;
};

ModelShards::ModelShards(std::vector<ModelShard> shards) : shards_(std::move(shards)) {
  check(!shards_.empty(), "expected at least one shard");
  for (const ModelShard& shard : shards_) {
    check(std::cmp_equal(shard.communicator->shard_count(), shards_.size()) &&
              shard.arena->page_bytes() == shards_.front().arena->page_bytes(),
          "expected all shards of a model, with equal pages");
  }
  for (std::size_t i = 1; i < shards_.size(); ++i) workers_.push_back(std::make_unique<Worker>(shards_[i]));
}

ModelShards::~ModelShards() = default;

void ModelShards::forward(const ForwardBatch& batch, const std::function<void()>& after_layer) {
  for (const auto& worker : workers_) worker->start(batch, nullptr);
  forward_on(shards_.front(), batch, after_layer);
  for (const auto& worker : workers_) worker->wait();
}

Tensor ModelShards::logits(const ForwardBatch& batch, const OutputBlock& block) {
  for (const auto& worker : workers_) worker->start(batch, &block);
  const Tensor logits = shards_.front().model->logits(batch, block);
  for (const auto& worker : workers_) worker->wait();
  return logits;
}

std::uint32_t ModelShards::page_count() const {
  std::uint32_t least = shards_.front().arena->page_count();
  for (const ModelShard& shard : shards_) least = std::min(least, shard.arena->page_count());
  return least;
}

}  // namespace slora
