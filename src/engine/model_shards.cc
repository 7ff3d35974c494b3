#include "engine/model_shards.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <source_location>
#include <thread>
#include <utility>

#include "backend/device_error.h"
#include "base/check.h"
#include "model/batch_fingerprint.h"

namespace slora {
namespace {

// The same segments with the adapters' views of a shard. Replaces `out`, which the result borrows. Shards are in the host's memory.
AdapterBatch on_shard(std::vector<AdapterSegment>& out, const AdapterBatch& adapters, std::int32_t shard) {
  out.assign(adapters.segments.host.begin(), adapters.segments.host.end());
  for (AdapterSegment& segment : out) segment.adapter = &segment.adapter->of_shard(shard);
  AdapterBatch local = adapters;
  local.segments = out;
  return local;
}

}  // namespace

// What all shards compute at the same time. Borrows from the caller until all of them are done.
struct ModelShards::Call {
  const ForwardBatch* batch = nullptr;
  const OutputBlock* block = nullptr;                  // null: a forward pass
  const std::function<void()>* after_layer = nullptr;  // of a forward pass on shard 0
};

// Written once, by the shard that fails first.
struct ModelShards::Failure {
  std::mutex mutex;
  std::optional<std::string> message;
};

// An exception that left this function would leave the other shards in a collective that this one never joins, and whoever caught it would
// wait for their threads forever. Where there are no others, the engine catches it.
Tensor ModelShards::compute(ModelShard& shard, LocalSegments& segments, const Call& call, Failure& failed) {
  const std::int32_t index = shard.communicator->shard_index();
  try {
    ForwardBatch batch = *call.batch;
    const bool has_others = shard.communicator->shard_count() > 1;
    if (has_others) batch.adapters = on_shard(segments.batch, call.batch->adapters, index);
    if (call.block != nullptr) {
      OutputBlock block = *call.block;
      if (has_others) block.adapters = on_shard(segments.block, call.block->adapters, index);
      if (has_others) shard.communicator->expect_same(fingerprint(block));
      return shard.model->logits(batch, block);
    }
    if (has_others) shard.communicator->expect_same(fingerprint(batch));
    const std::function<void()> nothing;
    shard.model->forward(batch, shard.arena->base(), call.after_layer != nullptr ? *call.after_layer : nothing);
    return {};
  } catch (const DeviceError& failure) {
    {
      const std::lock_guard lock(failed.mutex);
      if (!failed.message) failed.message = fmt::format("shard {}: {}", index, failure.what());
    }
    if (shard.communicator->shard_count() == 1) throw;
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));  // the others wait in a collective, until the process ends
  } catch (const std::exception& failure) {
    if (shard.communicator->shard_count() == 1) throw;
    fail_check(fmt::format("shard {}: expected to compute its part of a step: {}", index, failure.what()), std::source_location::current());
  } catch (...) {
    fail_check(fmt::format("shard {}: expected to compute its part of a step: an unknown exception", index),
               std::source_location::current());
  }
}

// The thread of one shard and the call that it works on. start() and wait() are called alternately by the engine thread.
class ModelShards::Worker {
 public:
  Worker(ModelShard& shard, Failure& failure) : shard_(shard), failure_(failure) {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), fmt::format("shard {}", shard.communicator->shard_index()).c_str());
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

  void start(const Call& call) {
    {
      const std::lock_guard lock(mutex_);
      call_ = call;
      is_busy_ = true;
    }
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !is_busy_; });
  }

 private:
  void run() {
    LocalSegments segments;
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return is_stopping_ || is_busy_; });
      if (is_stopping_) return;
      const Call call = call_;
      lock.unlock();
      (void)compute(shard_, segments, call, failure_);
      lock.lock();
      is_busy_ = false;
      changed_.notify_all();
    }
  }

  ModelShard& shard_;
  Failure& failure_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Call call_;                 // guarded by mutex_
  bool is_busy_ = false;      // guarded by mutex_
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

ModelShards::ModelShards(std::vector<ModelShard> shards) : failure_(std::make_unique<Failure>()), shards_(std::move(shards)) {
  check(!shards_.empty(), "expected at least one shard");
  for (const ModelShard& shard : shards_) {
    check(std::cmp_equal(shard.communicator->shard_count(), shards_.size()) &&
              shard.arena->page_bytes() == shards_.front().arena->page_bytes(),
          "expected all shards of a model, with equal pages");
  }
  for (std::size_t i = 1; i < shards_.size(); ++i) workers_.push_back(std::make_unique<Worker>(shards_[i], *failure_));
}

ModelShards::~ModelShards() = default;

Tensor ModelShards::compute_on_all(const Call& call) {
  for (const auto& worker : workers_) worker->start({call.batch, call.block, nullptr});
  const Tensor logits = compute(shards_.front(), segments_, call, *failure_);
  for (const auto& worker : workers_) worker->wait();
  return logits;
}

void ModelShards::forward(const ForwardBatch& batch, const std::function<void()>& after_layer) {
  (void)compute_on_all({&batch, nullptr, &after_layer});
}

Tensor ModelShards::logits(const ForwardBatch& batch, const OutputBlock& block) { return compute_on_all({&batch, &block, nullptr}); }

std::int32_t ModelShards::rope_begin_of(const RopePart& part) {
  const std::lock_guard lock(rope_mutex_);
  std::uint64_t& number = rope_numbers_[static_cast<std::size_t>(part.index)];
  if (number != part.number) {
    for (const ModelShard& shard : shards_) shard.model->fill_rope_part(part.index, part.factor);
    number = part.number;
  }
  return first_model().rope_begin_of(part.index);
}

std::uint64_t ModelShards::progress() const {
  std::uint64_t sum = 0;
  for (const ModelShard& shard : shards_) sum += shard.backend->progress();
  return sum;
}

std::optional<std::string> ModelShards::failure() const {
  const std::lock_guard lock(failure_->mutex);
  return failure_->message;
}

std::uint32_t ModelShards::page_count() const {
  std::uint32_t least = shards_.front().arena->page_count();
  for (const ModelShard& shard : shards_) least = std::min(least, shard.arena->page_count());
  return least;
}

}  // namespace slora
