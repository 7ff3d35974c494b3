#include "backend/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/device_owners.h"
#include "backend/cuda/host_transfers.h"
#include "backend/cuda/list_source.h"
#include "backend/cuda/require.h"
#include "backend/cuda/step_streams.h"
#include "backend/cuda/weight_upload.h"
#include "backend/cuda/work_lists.h"
#include "kernels/cuda/fill.h"
#include "kernels/cuda/linear.h"

namespace slora::cuda {
namespace {

constexpr int kDepth = 2;
constexpr std::int32_t kStepTokensDefault = 2048;  // products of fewer rows leave a large device idle
constexpr int kLoadingThreadsMax = 8;              // which copy weights faster than a link takes them

constexpr std::int64_t kHeadDimMax = 256;
constexpr std::int64_t kHiddenMax = 32768, kNarrowHiddenMax = 4096;  // of rms_norm: with and without 16-byte accesses

Status check_model(const ModelShape& shape) {
  const auto refuse = [](std::string_view what, std::string_view expected, std::int64_t found) {
    return error("E_UNSUPPORTED_MODEL", "model: {}: the cuda backend expects {}, found {}", what, expected, found);
  };
  if (!shape.further_ops_of.empty()) {
    return error("E_UNSUPPORTED_MODEL", "model: \"model_type\": the cuda backend does not serve {}; the cpu backend does",
                 shape.further_ops_of);
  }
  const std::int64_t group = shape.kv_heads > 0 ? shape.heads / shape.kv_heads : 0;
  if (shape.head_dim > kHeadDimMax || shape.head_dim % 2 != 0) {
    return refuse("head_dim", fmt::format("an even number up to {}", kHeadDimMax), shape.head_dim);
  }
  if (group > AttendItem::kRowsMax) {
    return refuse("num_attention_heads / num_key_value_heads", fmt::format("at most {}", AttendItem::kRowsMax), group);
  }
  // The lists of a step that is replayed are made before its ops are called: one that had no place would be made, and waited for, within
  // the capture.
  if (std::cmp_greater(shape.windows.size(), WorkLists::kAttendMax)) {
    return refuse("sliding windows of different sizes", fmt::format("at most {}", WorkLists::kAttendMax),
                  static_cast<std::int64_t>(shape.windows.size()));
  }
  const std::int64_t hidden_max = shape.hidden % 8 == 0 ? kHiddenMax : kNarrowHiddenMax;
  if (shape.hidden > hidden_max) return refuse("hidden_size", fmt::format("at most {}", hidden_max), shape.hidden);
  if (shape.step_rows_max > CudaOps::kRowsMax) {
    return refuse("tokens of a step", fmt::format("at most {}", CudaOps::kRowsMax), shape.step_rows_max);
  }
  return {};
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(DeviceApi& device, const BackendOptions& options, std::unique_ptr<BaseProduct> product)
      : device_(device), warn_(options.warn), weights_(device), product_(std::move(product)) {}
  ~CudaBackend() override {
    if (streams_) streams_->drain();  // before memory is freed that copies use
  }
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  [[nodiscard]] Status make() {
    Result<DeviceProperties> properties = device_.properties();
    if (!properties) return forward_error(properties);
    properties_ = *std::move(properties);
    Result<std::unique_ptr<StepStreams>> streams = StepStreams::create(device_, kDepth, warn_);
    if (!streams) return forward_error(streams);
    streams_ = *std::move(streams);
    Result<std::unique_ptr<HostTransfers>> transfers = HostTransfers::create(device_, streams_->compute());
    if (!transfers) return forward_error(transfers);
    transfers_ = *std::move(transfers);
    Result<std::unique_ptr<ListSource>> lists = ListSource::create(device_, *streams_, kDepth, properties_.multiprocessors);
    if (!lists) return forward_error(lists);
    lists_ = *std::move(lists);
    Result<std::unique_ptr<CudaOps>> ops =
        CudaOps::create({device_, *streams_, *lists_, *transfers_, product_.get()}, properties_.multiprocessors);
    if (!ops) return forward_error(ops);
    ops_ = *std::move(ops);
    return try_kernel();
  }

  std::string_view name() const override { return "cuda"; }
  std::string description() const override {
    return fmt::format("cuda, {}, compute capability {}.{}, {} multiprocessors, weights in bf16", properties_.name, properties_.major,
                       properties_.minor, properties_.multiprocessors);
  }
  int thread_count() const override { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kLoadingThreadsMax); }
  DType product_dtype() const override { return DType::bf16; }
  DType activation_dtype() const override { return DType::bf16; }
  DType kv_dtype() const override { return DType::bf16; }
  AdapterFormat adapter_format() const override {
    return {.dtype = DType::bf16, .b_interleave = 2, .has_sparse_records = false, .has_other_sites = false};
  }

  Status prepare_model(const ModelShape& shape) override {
    if (Status checked = check_model(shape); !checked) return checked;
    step_rows_max_ = shape.step_rows_max;
    vocabulary_ = shape.vocabulary;
    std::vector<AttendShape> attention;
    for (const std::int32_t window : shape.windows) {
      attention.push_back({.kv_heads = static_cast<std::int32_t>(shape.kv_heads),
                           .group = static_cast<std::int32_t>(shape.heads / shape.kv_heads),
                           .head_dim = static_cast<std::int32_t>(shape.head_dim),
                           .window = window});
    }
    if (Status prepared = lists_->prepare_model({std::move(attention), shape.layers, shape.step_rows_max}); !prepared) return prepared;
    if (Status reserved = ops_->reserve_attend(shape.head_dim); !reserved) return reserved;
    if (Status reserved = ops_->reserve_linear(LinearScratch::kSumsMax); !reserved) return reserved;
    if (Status reserved = ops_->reserve_gated(shape.step_rows_max, shape.intermediate); !reserved) return reserved;
    return ops_->reserve_sample(shape.output_rows_max, shape.vocabulary);
  }

  LinearWeight make_linear(std::int64_t out, std::int64_t in) override {
    if (product_) require_done(prepare_product(out, in));
    return require_value(weights_.make(out, in));
  }
  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override {
    require_done(weights_.pack_rows(weight, row_begin, rows));
  }
  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return WeightUpload::weight_bytes(out, in); }

  std::optional<DeviceMemory> memory() const override {
    const DeviceMemoryBytes bytes = require_value(device_.memory());
    return DeviceMemory{.free = bytes.free, .total = bytes.total};
  }
  std::int32_t step_tokens_default() const override { return kStepTokensDefault; }

  Buffer allocate(std::size_t bytes) override {
    Buffer memory = require_value(allocate_buffer(device_, std::max<std::size_t>(bytes, 1)));
    transfers_->clear(memory.data(), memory.bytes());
    return memory;
  }
  bool shares_host_memory() const override { return false; }
  void upload(Tensor to, const void* from) override { transfers_->upload(to, from); }
  void download(void* to, Tensor from) override { transfers_->download(to, from); }
  Buffer host_memory(std::size_t bytes) override { return require_value(allocate_host_buffer(device_, std::max<std::size_t>(bytes, 1))); }

  int depth() const override { return kDepth; }
  const std::byte* upload_step(int slot, std::span<const std::byte> bytes) override {
    lists_->begin_step();
    return streams_->upload_step(slot, bytes);
  }
  std::uint32_t prepare_step(int slot, const StepWork& work) override { return lists_->prepare(slot, work); }
  bool replays_steps() const override { return true; }
  void replay_step(const StepKey& key, const std::function<void()>& call_ops) override {
    if (!lists_->may_replay()) return call_ops();
    streams_->replay_step(key, call_ops);
  }
  Fence download_step(std::span<std::byte> to, const std::byte* from) override { return streams_->download_step(to, from); }
  Fence mark() override { return streams_->mark(); }
  Fence copy_in(std::span<const CopyIn> copies) override { return streams_->copy_in(copies); }
  bool wait(Fence fence, std::chrono::milliseconds limit) override { return streams_->wait(fence, limit); }

  Ops& ops() override { return *ops_; }

 private:
  // Runs one, so that a device for which the kernels have no code is refused at the start, and not in its first step.
  [[nodiscard]] Status try_kernel() {
    constexpr std::int64_t kNumbers = 64;
    Result<Buffer> memory = allocate_buffer(device_, kNumbers * sizeof(float));
    if (!memory) return forward_error(memory);
    cuda::fill(streams_->compute(), memory->view(DType::f32, 1, kNumbers), 0);
    const Status launched = device_.last_error();
    const Status done = device_.synchronise(streams_->compute());
    const Status& failed = launched ? done : launched;
    if (failed) return {};
    return error(failed.error().code, "{}, compute capability {}.{}: {}", properties_.name, properties_.major, properties_.minor,
                 failed.error().message);
  }

  [[nodiscard]] Status prepare_product(std::int64_t out, std::int64_t in) {
    if (Status prepared = product_->prepare(step_rows_max_, out, in, DType::bf16); !prepared) return prepared;
    const bool may_give_logits = vocabulary_ == 0 || out == vocabulary_;  // which are fp32
    return may_give_logits ? product_->prepare(step_rows_max_, out, in, DType::f32) : Status{};
  }

  DeviceApi& device_;
  const std::function<void(std::string_view)> warn_;
  DeviceProperties properties_;
  WeightUpload weights_;
  const std::unique_ptr<BaseProduct> product_;       // may be null
  std::int64_t step_rows_max_ = kStepTokensDefault;  // of the model
  std::int64_t vocabulary_ = 0;                      // not known yet
  std::unique_ptr<StepStreams> streams_;
  std::unique_ptr<HostTransfers> transfers_;
  std::unique_ptr<ListSource> lists_;
  std::unique_ptr<CudaOps> ops_;  // last: uses the others
};

}  // namespace

Result<std::unique_ptr<Backend>> create_cuda_backend(DeviceApi& device, const BackendOptions& options,
                                                     std::unique_ptr<BaseProduct> product) {
  if (options.weights != WeightStorage::bf16) {
    return error("E_WEIGHTS", "--weights: the cuda backend keeps bf16 only; choose the cpu backend for {}", name_of(options.weights));
  }
  try {
    auto backend = std::make_unique<CudaBackend>(device, options, std::move(product));
    if (Status made = backend->make(); !made) return forward_error(made);
    return backend;
  } catch (const DeviceError& failure) {
    return error("E_DEVICE", "{}", failure.what());
  }
}

}  // namespace slora::cuda
