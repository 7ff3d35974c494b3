#include "backend/testing/delayed_backend.h"

#include <cstring>
#include <utility>

namespace slora {
namespace {

constexpr int kPoison = 0xa5;

// The array as a device has it.
template <class T>
StepArray<T> on_device_only(const StepArray<T>& array) {
  return {{array.device, array.size()}, array.device};
}
SpanBatch on_device_only(const SpanBatch& batch) { return {on_device_only(batch.spans), on_device_only(batch.pages)}; }
AdapterBatch on_device_only(AdapterBatch batch) {
  batch.segments = on_device_only(batch.segments);
  batch.runs = on_device_only(batch.runs);
  batch.run_segments = on_device_only(batch.run_segments);
  return batch;
}
SampleBatch on_device_only(SampleBatch batch) {
  batch.rows = on_device_only(batch.rows);
  batch.counts = on_device_only(batch.counts);
  batch.tokens = on_device_only(batch.tokens);
  batch.biases = on_device_only(batch.biases);
  batch.masks = on_device_only(batch.masks);
  return batch;
}

}  // namespace

DelayedQueue::~DelayedQueue() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::uint64_t DelayedQueue::add(std::function<void()> work) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    number = ++added_count_;
  }
  changed_.notify_all();
  return number;
}

std::uint64_t DelayedQueue::last() {
  const std::lock_guard lock(mutex_);
  return added_count_;
}

bool DelayedQueue::wait(std::uint64_t number, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, limit, [&] { return done_count_ >= number || failure_; });
  if (failure_) std::rethrow_exception(failure_);
  return done_count_ >= number;
}

// Finishes what was added before it stops.
void DelayedQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return is_stopping_ || !work_.empty(); });
    if (work_.empty() || failure_) return;
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    delay();
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    ++done_count_;
    changed_.notify_all();
  }
}

void DelayedQueue::delay() {
  const std::uint64_t draw = random_() % 64;
  if (draw < 8) {
    std::this_thread::yield();
  } else if (draw == 8) {
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 300));
  }
}

void DelayedOps::embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) {
  add([=, this, &table] { inner_.embed(out, on_device_only(ids), previous, table, first_token); });
}
void DelayedOps::adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) {
  add([=, this] { inner_.adapt_embedding(out, on_device_only(ids), previous, on_device_only(adapters)); });
}
void DelayedOps::rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) {
  add([=, this] { inner_.rms_norm(out, in, weight, eps, on_device_only(adapters), site); });
}
void DelayedOps::add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) {
  add([=, this] { inner_.add_rms_norm(out, residual, x, weight, eps, on_device_only(adapters), site); });
}
void DelayedOps::shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) {
  add([=, this] { inner_.shrink(z, x, on_device_only(adapters), site); });
}
void DelayedOps::linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) {
  add([=, this, &weight] { inner_.linear(y, x, weight, z, on_device_only(adapters), site); });
}
void DelayedOps::linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                              Activation activation) {
  add([=, this, &weight] { inner_.linear_gated(out, x, weight, z, on_device_only(adapters), site, activation); });
}
void DelayedOps::route(const ExpertRows& out, Tensor scores, const RouteParams& params) {
  add([=, this] { inner_.route(out, scores, params); });
}
void DelayedOps::mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                             Activation activation) {
  add([=, this] { inner_.mix_experts(out, x, experts, on_device_only(adapters), layer, activation); });
}
void DelayedOps::rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) {
  add([=, this] { inner_.rope(x, on_device_only(positions), table); });
}
void DelayedOps::store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) {
  add([=, this] { inner_.store_kv(layer, k, v, on_device_only(spans)); });
}
void DelayedOps::attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) {
  add([=, this] { inner_.attend(out, q, layer, on_device_only(spans), params); });
}
void DelayedOps::added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) {
  add([=, this] { inner_.added_logits(out, x, on_device_only(adapters)); });
}
void DelayedOps::gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) {
  add([=, this] { inner_.gather_rows(out, in, on_device_only(rows)); });
}
void DelayedOps::sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) {
  add([=, this] { inner_.sample(out, logits, on_device_only(batch)); });
}
void DelayedOps::score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) {
  add([=, this] { inner_.score(out, logits, on_device_only(rows)); });
}
void DelayedOps::copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) {
  add([=, this, list = std::vector(copies.begin(), copies.end())] { inner_.copy_pages(base, page_bytes, list); });
}
void DelayedOps::rescale(Tensor x, float factor, float cap) {
  add([=, this] { inner_.rescale(x, factor, cap); });
}
void DelayedOps::fill(Tensor out, float value) {
  add([=, this] { inner_.fill(out, value); });
}

DelayedBackend::DelayedBackend(std::unique_ptr<Backend> inner, const Options& options)
    : ForwardingBackend(std::move(inner)),
      options_(options),
      steps_(options.seed),
      copies_(options.seed + 1),
      ops_(ForwardingBackend::inner().ops(), steps_) {
  for (int slot = 0; slot < options.depth; ++slot) step_memory_.push_back(ForwardingBackend::inner().allocate(kStepBytesMax));
}

DelayedBackend::~DelayedBackend() = default;

const std::byte* DelayedBackend::upload_step(int slot, std::span<const std::byte> bytes) {
  check(slot >= 0 && slot < options_.depth && bytes.size() <= kStepBytesMax, "expected a slot, and no more bytes than it has");
  std::byte* const to = step_memory_[static_cast<std::size_t>(slot)].data();
  steps_.add([=] {
    std::memcpy(to, bytes.data(), bytes.size());
    std::memset(const_cast<std::byte*>(bytes.data()), kPoison, bytes.size());  // nobody may rely on them now
  });
  return to;
}

void DelayedBackend::replay_step(const StepKey& key, const std::function<void()>& call_ops) {
  const auto found = recorded_.find(key);
  if (found == recorded_.end()) {
    ops_.record(&recorded_[key]);
    call_ops();
    ops_.record(nullptr);
    return;
  }
  for (const std::function<void()>& call : found->second) steps_.add(call);
  ++*options_.replayed_count;
}

Fence DelayedBackend::download_step(std::span<std::byte> to, const std::byte* from) {
  std::memset(to.data(), kPoison, to.size());
  return {steps_.add([=] { std::memcpy(to.data(), from, to.size()); }), Fence::Queue::steps};
}

Fence DelayedBackend::mark() { return {steps_.last(), Fence::Queue::steps}; }

Fence DelayedBackend::copy_in(std::span<const CopyIn> copies) {
  return {copies_.add([list = std::vector(copies.begin(), copies.end())] {
            for (const CopyIn& copy : list) std::memset(copy.to, 0xff, copy.bytes);
            std::this_thread::yield();
            for (const CopyIn& copy : list) std::memcpy(copy.to, copy.from, copy.bytes);
          }),
          Fence::Queue::copies};
}

bool DelayedBackend::wait(Fence fence, std::chrono::milliseconds limit) {
  return (fence.queue == Fence::Queue::steps ? steps_ : copies_).wait(fence.number, limit);
}

void DelayedBackend::upload(Tensor to, const void* from) {
  steps_.wait(steps_.last());
  inner().upload(to, from);
}

void DelayedBackend::download(void* to, Tensor from) {
  steps_.wait(steps_.last());
  inner().download(to, from);
}

}  // namespace slora
