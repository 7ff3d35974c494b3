#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "backend/forwarding_backend.h"

namespace slora {

// Runs what it is given one after the other on a thread of its own, each after a random delay, as a stream of a device does. An exception
// ends the thread; wait() throws it.
class DelayedQueue {
 public:
  explicit DelayedQueue(std::uint64_t seed) : random_(seed), thread_([this] { run(); }) {}
  ~DelayedQueue();
  DelayedQueue(const DelayedQueue&) = delete;
  DelayedQueue& operator=(const DelayedQueue&) = delete;

  // Returns the number that wait() takes. Any thread.
  std::uint64_t add(std::function<void()> work);
  // Of the latest work added.
  [[nodiscard]] std::uint64_t last();
  [[nodiscard]] bool wait(std::uint64_t number, std::chrono::milliseconds limit);
  void wait(std::uint64_t number) {
    while (!wait(number, std::chrono::milliseconds(1000))) continue;
  }

 private:
  void run();
  void delay();

  std::mt19937_64 random_;  // of the thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;  // guarded by mutex_, as what follows
  std::uint64_t added_count_ = 0, done_count_ = 0;
  std::exception_ptr failure_;
  bool is_stopping_ = false;
  std::thread thread_;  // last: uses the others
};

// Adds calls of ops to a queue. They are called with what they would find on a device: no host array, and those of a step where
// upload_step() has put them.
class DelayedOps final : public Ops {
 public:
  using Calls = std::vector<std::function<void()>>;

  DelayedOps(Ops& inner, DelayedQueue& queue) : inner_(inner), queue_(queue) {}

  // Also appends the calls that follow to `calls`, until it is null.
  void record(Calls* calls) { calls_ = calls; }

  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override;
  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override;
  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override;
  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override;
  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override;
  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override;
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override;
  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override;
  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override;
  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override;
  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override;
  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override;
  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override;
  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override;
  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override;
  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override;
  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override;
  void rescale(Tensor x, float factor, float cap) override;
  void fill(Tensor out, float value) override;

 private:
  void add(std::function<void()> call) {
    if (calls_ != nullptr) calls_->push_back(call);
    queue_.add(std::move(call));
  }

  Ops& inner_;
  DelayedQueue& queue_;
  Calls* calls_ = nullptr;
};

// A test double: computes as another backend, which works in the host's memory, but later, as a device does behind the thread that submits
// to it. Whoever relies on results before their fence is done, reads a step's arrays where the host wrote them, or writes these again
// before the step is done, gets other answers:
// - upload_step() copies the bytes elsewhere when it is their turn, and then overwrites the slot's,
// - download_step() overwrites its target at once and fills it when it is its turn,
// - copy_in() first fills its targets with 0xff, on a second thread,
// - replay_step() calls ops with the arguments of the first step that had the key.
// Owned by a test or a runtime; its ops and queues are used as Backend says.
class DelayedBackend final : public ForwardingBackend {
 public:
  struct Options {
    int depth = 1;
    std::uint64_t seed = 0;
    std::atomic<std::uint64_t>* replayed_count = nullptr;  // of steps; null: steps are not replayed
  };
  DelayedBackend(std::unique_ptr<Backend> inner, const Options& options);
  ~DelayedBackend() override;

  bool shares_host_memory() const override { return false; }
  int depth() const override { return options_.depth; }
  bool replays_steps() const override { return options_.replayed_count != nullptr; }
  void replay_step(const StepKey& key, const std::function<void()>& call_ops) override;
  const std::byte* upload_step(int slot, std::span<const std::byte> bytes) override;
  Fence download_step(std::span<std::byte> to, const std::byte* from) override;
  Fence mark() override;
  Fence copy_in(std::span<const CopyIn> copies) override;
  bool wait(Fence fence, std::chrono::milliseconds limit) override;
  void upload(Tensor to, const void* from) override;
  void download(void* to, Tensor from) override;
  DelayedOps& ops() override { return ops_; }

 private:
  static constexpr std::size_t kStepBytesMax = std::size_t{1} << 22;

  const Options options_;
  std::vector<Buffer> step_memory_;  // [depth], the device's copies of the slots' bytes
  DelayedQueue steps_, copies_;
  DelayedOps ops_;
  std::map<StepKey, DelayedOps::Calls> recorded_;
};

}  // namespace slora
