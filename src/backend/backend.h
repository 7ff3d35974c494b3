#pragma once
#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/op_args.h"
#include "backend/ops.h"
#include "backend/train_ops.h"
#include "base/result.h"
#include "ops/adapter_format.h"

namespace slora {

// Which of a backend's instruction sets to use. Results may differ between them, within each backend's tolerance, but not between one with
// and without VNNI. A set that the machine lacks is replaced by the next of this order that it has; best is the fastest, whose place in the
// order differs between processors.
enum class Instructions : std::uint8_t { best, avx512_bf16, avx512_vnni, avx512, avx2_vnni, avx2, portable };
inline constexpr std::array<std::string_view, 7> kInstructionNames = {"best",      "avx512-bf16", "avx512-vnni", "avx512",
                                                                      "avx2-vnni", "avx2",        "portable"};
[[nodiscard]] constexpr std::string_view name_of(Instructions instructions) {
  return kInstructionNames[static_cast<std::size_t>(instructions)];
}

// What multiplies by the base model's weights on a CUDA device: this program's kernel, or NVIDIA's cuBLASLt, where its library is. With the
// latter a row's result may depend on how many rows are computed together.
enum class CudaProducts : std::uint8_t { own, cublaslt };

struct BackendOptions {
  int threads = 0;      // of all backends of the process together; 0: one for every core this process may use
  int shard_count = 1;  // backends in this process, one per shard of a model, each with its share of the threads
  Instructions instructions = Instructions::best;
  WeightStorage weights = WeightStorage::bf16;     // of the base; int4: head, embedding and routers are in int8. Not of adapters and KV
  CudaProducts cuda_products = CudaProducts::own;  // of the cuda backend; the others ignore it
  // Takes a line for the operator when a device does less than it should, once for each reason. Any thread; empty: nobody is told.
  std::function<void(std::string_view)> warn{};
};

// A point in one of the two sequences of work that a backend does independently of each other: the ops of steps, and copy_in(). It is done
// when all work of its sequence before it is.
struct Fence {
  std::uint64_t number = 0;  // 0: done from the beginning
  enum class Queue : std::uint8_t { steps, copies } queue = Queue::steps;
};

// What the calls of a step's ops depend on. Steps that compute one token for each sequence have few of them, because they are padded.
struct StepKey {
  int slot = 0;
  std::int32_t rows = 0;           // of the batch, all of which give a token
  std::int32_t segments = 0;       // 0: no adapter
  std::int32_t head_segments = 0;  // 0: no adapter that changes the head
  std::int32_t list_capacity = 0;  // elements that fit in each list of variable length
  std::int32_t masks = 0;          // that there is space for, each of a bit for each token of the base
  std::uint32_t work = 0;          // as prepare_step() tells
  auto operator<=>(const StepKey&) const = default;
};

// The sizes of a model, or of one shard of it, that decide whether a backend's ops can compute it and how much scratch they need.
struct ModelShape {
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t hidden = 0;
  std::int64_t intermediate = 0;        // outputs of linear_gated
  std::int64_t vocabulary = 0;          // logits of a row that a token is drawn from
  std::string_view further_ops_of{};    // the family, where it needs ops that models like Llama do without
  std::vector<std::int32_t> windows{};  // AttendParams::window of its layers, each once
  std::int64_t step_rows_max = 0;       // rows of one batch
  std::int64_t output_rows_max = 0;     // rows of logits at a time
};

// What the ops of a step will be called with.
struct StepWork {
  SpanBatch spans;
  std::span<const AdapterBatch> adapters;  // of all layers, then of the logits of each block
};

// A part of an adapter's image, from host memory into a page of the pool.
struct CopyIn {
  std::byte* to;
  const std::byte* from;
  std::size_t bytes;
};

// Bytes of a device's memory.
struct DeviceMemory {
  std::uint64_t free = 0;  // now, whoever else uses the device
  std::uint64_t total = 0;
};

// One device: its memory, its element types, and Ops. Constant after construction, except for its Ops; one owner, used by
// the engine thread. `pack_rows` may be called by loading threads before the engine starts.
class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  // One line for the log: instruction set and threads, or the device's name.
  [[nodiscard]] virtual std::string description() const = 0;
  // The number of threads of this process that it computes with; loading uses as many.
  [[nodiscard]] virtual int thread_count() const = 0;
  // Element type of the inputs of linear products: the outputs of norms, of attention and of the gated activation.
  [[nodiscard]] virtual DType product_dtype() const = 0;
  // Element type of the outputs of linear products: x and qkv of a layer. Residuals, shrink results and logits are fp32 on every backend.
  [[nodiscard]] virtual DType activation_dtype() const = 0;
  [[nodiscard]] virtual DType kv_dtype() const = 0;
  [[nodiscard]] virtual AdapterFormat adapter_format() const = 0;

  // Refuses a model that the ops can't compute, with E_UNSUPPORTED_MODEL, and allocates what they need beyond their arguments. Once, before
  // the model's first step. Ops that are called without it allocate when they must.
  [[nodiscard]] virtual Status prepare_model(const ModelShape&) { return {}; }

  // Allocates W [out, in]; pack_rows then fills it, every row, in any order. A row that is packed again is replaced.
  [[nodiscard]] virtual LinearWeight make_linear(std::int64_t out, std::int64_t in) = 0;
  // Writes rows [row_begin, row_begin + rows.rows) of W from host memory in f32, f16 or bf16. Several threads may pack different rows.
  virtual void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) = 0;
  // Of the numbers that were packed in int4.
  [[nodiscard]] virtual Int4Count int4_count() const { return {}; }
  // Bytes that make_linear will allocate, for planning.
  [[nodiscard]] virtual std::size_t linear_bytes(std::int64_t out, std::int64_t in) const = 0;
  // The same for the head, the embedding and routers, which a backend may keep in more bits than other weights.
  [[nodiscard]] virtual LinearWeight make_table(std::int64_t out, std::int64_t in) { return make_linear(out, in); }
  [[nodiscard]] virtual std::size_t table_bytes(std::int64_t out, std::int64_t in) const { return linear_bytes(out, in); }

  // The same where the last rows err most. Requires: fewer than all rows.
  [[nodiscard]] virtual LinearWeight make_mixed(std::int64_t out, std::int64_t in, std::int64_t /*fine_rows*/) {
    return make_linear(out, in);
  }
  [[nodiscard]] virtual std::size_t mixed_bytes(std::int64_t out, std::int64_t in, std::int64_t /*fine_rows*/) const {
    return linear_bytes(out, in);
  }
  // How make_linear() keeps rows.
  [[nodiscard]] virtual WeightStorage weight_storage() const { return WeightStorage::bf16; }

  // The memory that allocate() and make_linear() take from; none where that is the host's. Outside of steps only. May throw a DeviceError.
  [[nodiscard]] virtual std::optional<DeviceMemory> memory() const { return std::nullopt; }
  // How many tokens a step has at most, unless the operator says.
  [[nodiscard]] virtual std::int32_t step_tokens_default() const { return 512; }

  // Device memory for activations, vectors and the pool, zeroed.
  [[nodiscard]] virtual Buffer allocate(std::size_t bytes) = 0;
  // Whether the host may write and read what allocate() gave, next to ops that work on other parts of it. If not, only
  // upload(), download() and copy_in() do.
  [[nodiscard]] virtual bool shares_host_memory() const = 0;
  // Copies between packed rows in host memory and device memory, after all ops that were called before. The host memory may be reused when
  // the call returns. Outside of steps only.
  virtual void upload(Tensor to, const void* from) = 0;
  virtual void download(void* to, Tensor from) = 0;
  // Host memory that the device copies from and to quickly, of no particular content. May wait for the device.
  [[nodiscard]] virtual Buffer host_memory(std::size_t bytes) = 0;

  // Steps that may be under way at once, 1 or 2: with 2, the next step is prepared and submitted while one computes.
  [[nodiscard]] virtual int depth() const = 0;
  // Where the ops called from here on find these bytes of a step. They are read until the step's results are there. Slots, fewer than
  // depth(), are separate places; where a slot's bytes are found depends on how many there are, and on nothing else.
  [[nodiscard]] virtual const std::byte* upload_step(int slot, std::span<const std::byte> bytes) = 0;
  // After upload_step() and before the step's ops, which are called with these arrays then: for backends whose ops need lists of work,
  // which the host makes. Ops that are called with other arrays may wait for the device. Returns what else the step's calls depend on, such
  // as kinds of work that there is none of, for its StepKey.
  virtual std::uint32_t prepare_step(int /*slot*/, const StepWork&) { return 0; }
  // Whether steps of equal keys should be replayed: then the engine pads steps to a few sizes.
  [[nodiscard]] virtual bool replays_steps() const = 0;
  // Calls `call_ops`, or repeats the calls that it made for the same key before, with the same arguments: so these may depend on the key
  // and on nothing else. Everything else is in device memory.
  virtual void replay_step(const StepKey& key, const std::function<void()>& call_ops) = 0;
  // Copies results to memory from host_memory(), after all ops that were called before; they are there when the fence is done.
  [[nodiscard]] virtual Fence download_step(std::span<std::byte> to, const std::byte* from) = 0;
  // Done when all that was called before is.
  [[nodiscard]] virtual Fence mark() = 0;
  // Starts to copy into pages of the pool, at the same time as ops run, in no order with them: no op may use these pages until the fence is
  // done. Any thread.
  [[nodiscard]] virtual Fence copy_in(std::span<const CopyIn> copies) = 0;
  // Waits until the fence is done, or for this long; returns whether it is done. May throw a DeviceError. Any thread.
  [[nodiscard]] virtual bool wait(Fence fence, std::chrono::milliseconds limit) = 0;

  // A gain or a bias of these numbers.
  [[nodiscard]] DeviceVector make_vector(std::span<const float> numbers);

  [[nodiscard]] virtual Ops& ops() = 0;
  // The derivatives of its ops; null on a backend that does not train.
  [[nodiscard]] virtual TrainOps* train_ops() { return nullptr; }

  // Calls work(index) once for every index below `count`, in any order, on the threads that compute. Between ops, by the thread that calls
  // them.
  virtual void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) {
    for (std::int64_t index = 0; index < count; ++index) work(index);
  }

  // Changes while an op computes, where that can take seconds; 0 where that is not followed. Any thread.
  [[nodiscard]] virtual std::uint64_t progress() const { return 0; }
};

// Makes the backend called `name`: "reference", "cpu", "cuda", or "auto", which is cuda where that can be used, else cpu. Refuses unknown
// names, with the list, a device that is not there, and options that the backend does not serve: "reference" has fp32 weights only, since
// the others are compared with it, "cuda" bf16 only and one shard.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options);

}  // namespace slora
