#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "backend/op_args.h"
#include "backend/ops.h"
#include "base/result.h"
#include "ops/adapter_format.h"

namespace slora {

// Which of a backend's instruction sets to use. Results may differ between them, within each backend's tolerance. What the machine
// lacks is replaced by the next it has.
enum class Instructions : std::uint8_t { best, avx512, avx2, portable };

// How the weights of products and the embedding are kept: as bf16, or as bytes with a scale for every group of inputs, which takes half
// the memory and loses some accuracy. Adapters and KV are not affected.
enum class WeightStorage : std::uint8_t { bf16, int8 };

struct BackendOptions {
  int threads = 0;  // 0: one for every core this process may use
  Instructions instructions = Instructions::best;
  WeightStorage weights = WeightStorage::bf16;
};

// One device: its memory, its element types, and Ops. Constant after construction but for its Ops; one owner, used by
// the engine thread; `pack_rows` may be called by loading threads before the engine starts.
class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  // One line for the log: instruction set and threads, or the device's name.
  [[nodiscard]] virtual std::string description() const = 0;
  // Threads of this process that it computes with; loading uses as many.
  [[nodiscard]] virtual int thread_count() const = 0;
  // Element type of what linear products read (norm, attention and gated outputs).
  [[nodiscard]] virtual DType product_dtype() const = 0;
  [[nodiscard]] virtual DType kv_dtype() const = 0;
  [[nodiscard]] virtual AdapterFormat adapter_format() const = 0;

  // Room for W [out, in]; then pack_rows fills it, any order, every row once.
  [[nodiscard]] virtual LinearWeight make_linear(std::int64_t out, std::int64_t in) = 0;
  // Rows [row_begin, row_begin + rows.rows) of W from host memory in f32, f16 or bf16. Several threads may pack different rows.
  virtual void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) = 0;
  // Bytes that make_linear will take, for planning.
  [[nodiscard]] virtual std::size_t linear_bytes(std::int64_t out, std::int64_t in) const = 0;

  // Device memory for activations and for the pool, zeroed.
  [[nodiscard]] virtual Buffer allocate(std::size_t bytes) = 0;

  [[nodiscard]] virtual Ops& ops() = 0;
};

// The backend called `name`: "reference" or "cpu" ("auto" picks the best there is). Unknown names are refused with the list, and so
// are weights that the backend doesn't keep: "reference" has fp32 only, which is what the others are held against.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_backend(std::string_view name, const BackendOptions& options);

}  // namespace slora
