#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "backend/op_args.h"
#include "backend/ops.h"
#include "base/result.h"
#include "ops/adapter_format.h"

namespace slora {

// Which of a backend's instruction sets to use. Results may differ between them, within each backend's tolerance. A set that the machine
// lacks is replaced by the next lower one that it has.
enum class Instructions : std::uint8_t { best, avx512, avx2, portable };

// How the weights of products and the embedding are stored: as bf16, or as bytes with a scale for every group of inputs, which takes half
// the memory and loses some accuracy. Adapters and KV are not affected.
enum class WeightStorage : std::uint8_t { bf16, int8 };

struct BackendOptions {
  int threads = 0;      // of all backends of the process together; 0: one for every core this process may use
  int shard_count = 1;  // backends in this process, one per shard of a model, each with its share of the threads
  Instructions instructions = Instructions::best;
  WeightStorage weights = WeightStorage::bf16;
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
  // Element type of what linear products read (norm, attention and gated outputs).
  [[nodiscard]] virtual DType product_dtype() const = 0;
  [[nodiscard]] virtual DType kv_dtype() const = 0;
  [[nodiscard]] virtual AdapterFormat adapter_format() const = 0;

  // Allocates W [out, in]; pack_rows then fills it, every row, in any order. A row that is packed again is replaced.
  [[nodiscard]] virtual LinearWeight make_linear(std::int64_t out, std::int64_t in) = 0;
  // Writes rows [row_begin, row_begin + rows.rows) of W from host memory in f32, f16 or bf16. Several threads may pack different rows.
  virtual void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) = 0;
  // Bytes that make_linear will allocate, for planning.
  [[nodiscard]] virtual std::size_t linear_bytes(std::int64_t out, std::int64_t in) const = 0;

  // Device memory for activations and for the pool, zeroed.
  [[nodiscard]] virtual Buffer allocate(std::size_t bytes) = 0;

  [[nodiscard]] virtual Ops& ops() = 0;

  // Calls work(index) once for every index below `count`, in any order, on the threads that compute. Between ops, by the thread that calls
  // them.
  virtual void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) {
    for (std::int64_t index = 0; index < count; ++index) work(index);
  }

  // Changes while an op computes, where that can take seconds; 0 where that is not followed. Any thread.
  [[nodiscard]] virtual std::uint64_t progress() const { return 0; }
};

// Makes the backend called `name`: "reference" or "cpu" ("auto" chooses the best available). Refuses unknown names, with the list, and
// weight storage that the backend does not have: "reference" has fp32 only, since the others are compared with it.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options);

}  // namespace slora
