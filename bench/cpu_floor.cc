// How near the cpu backend comes to what the machine can do, on the shape of Qwen2.5-0.5B: decoding against read bandwidth,
// prefilling against the bf16 peak, both measured in the same run.
#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "machine_limits.h"

namespace slora::bench {
namespace {

constexpr std::int32_t kLayers = 24, kHidden = 896, kIntermediate = 4864, kHeads = 14, kKvHeads = 2, kDim = 64, kVocab = 151936;
constexpr std::int32_t kQkv = (kHeads + 2 * kKvHeads) * kDim;
constexpr std::int32_t kPageTokens = 32;
constexpr Site kSite{0, SiteKind::qkv};

// One of the model's weights, in every layer its own memory. Rows are shifted runs of the same small numbers.
std::vector<LinearWeight> make_weights(Backend& backend, std::int32_t copies, std::int32_t out, std::int32_t in) {
  constexpr std::int64_t kShift = 7;
  std::vector<float> numbers(static_cast<std::size_t>(in + kShift * out));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = 0.01f * static_cast<float>(i * 7919 % 97) - 0.48f;
  std::vector<LinearWeight> weights;
  for (std::int32_t copy = 0; copy < copies; ++copy) {
    LinearWeight& weight = weights.emplace_back(backend.make_linear(out, in));
    backend.pack_rows(weight, 0, {reinterpret_cast<std::byte*>(numbers.data()), DType::f32, out, in, kShift});
  }
  return weights;
}

struct Model {
  explicit Model(Backend& backend)
      : qkv(make_weights(backend, kLayers, kQkv, kHidden)),
        o(make_weights(backend, kLayers, kHidden, kHeads * kDim)),
        gate_up(make_weights(backend, kLayers, 2 * kIntermediate, kHidden)),
        down(make_weights(backend, kLayers, kHidden, kIntermediate)),
        head(make_weights(backend, 1, kVocab, kHidden)) {}

  std::vector<LinearWeight> qkv, o, gate_up, down, head;
};

double bytes_of_weights(const std::vector<LinearWeight>& weights) {
  double bytes = 0;
  for (const LinearWeight& weight : weights) bytes += static_cast<double>(weight.packed.bytes());
  return bytes;
}

// Activations of `rows` tokens and the K and V of one layer for `context` tokens.
class Step {
 public:
  Step(Backend& backend, std::int32_t rows, std::int32_t context)
      : ops_(backend.ops()), rows_(rows), memory_(backend.allocate(std::size_t{1} << 30)) {
    wide_ = take(DType::f32, 2 * kIntermediate);
    x_ = take(DType::f32, kHidden);
    residual_ = take(DType::f32, kHidden);
    product_ = take(backend.product_dtype(), kIntermediate);
    logits_ = take(DType::f32, kVocab, 1);
    ops_.fill(residual_, 0.5f);
    ops_.fill(x_, 0.25f);
    ops_.fill(product_, 0.125f);
    const std::size_t side = kPageTokens * kKvHeads * kDim * bytes_of(backend.kv_dtype());
    pages_memory_ = backend.allocate(2 * side * static_cast<std::size_t>(context / kPageTokens + 1));
    for (std::uint32_t page = 0; page <= static_cast<std::uint32_t>(context / kPageTokens); ++page) pages_.push_back({page});
    layer_ = {pages_memory_.data(), 2 * side, 0, side, kPageTokens, kKvHeads, kDim};
    for (std::int32_t row = 0; row < rows; ++row) positions_.push_back(context - rows + row);
    table_memory_ = backend.allocate(static_cast<std::size_t>(context) * kDim * sizeof(float));
    const Tensor table = table_memory_.view(DType::f32, context, kDim / 2);
    table_ = {table, table};
    spans_ = {{0, rows, context - rows, pages_}};
  }

  void linear(const std::vector<LinearWeight>& weights, std::int64_t out, std::int64_t in) {
    for (const LinearWeight& weight : weights) ops_.linear(wide_.cols_from(0, out), product_.cols_from(0, in), weight, {}, {}, kSite);
  }
  void head(const Model& model) {
    ops_.linear(logits_, product_.rows_from(rows_ - 1, 1).cols_from(0, kHidden), model.head[0], {}, {}, kSite);
  }
  void norms() {
    for (int i = 0; i < 2 * kLayers; ++i) ops_.add_rms_norm(product_.cols_from(0, kHidden), residual_, x_, gain_, 1e-6f);
  }
  void gates() {
    for (int i = 0; i < kLayers; ++i) ops_.gated(product_, wide_, Activation::silu);
  }
  void attention() {
    const Tensor q = wide_.cols_from(0, kHeads * kDim);
    const Tensor k = wide_.cols_from(kHeads * kDim, kKvHeads * kDim);
    for (int i = 0; i < kLayers; ++i) {
      ops_.rope(wide_.cols_from(0, (kHeads + kKvHeads) * kDim), positions_, table_);
      ops_.store_kv(layer_, k, k, spans_);
      ops_.attend(product_.cols_from(0, kHeads * kDim), q, layer_, spans_, {0.125f, 0});
    }
  }
  void sample() {
    SampleRow row;
    row.temperature = 0.8f;
    row.top_p = 0.95f;
    ops_.sample({&token_, 1}, logits_, {&row, 1});
  }
  void all(const Model& model) {
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      const auto project = [&](const LinearWeight& weight, Tensor out) {
        ops_.linear(out, product_.cols_from(0, weight.in), weight, {}, {}, kSite);
      };
      ops_.add_rms_norm(product_.cols_from(0, kHidden), residual_, x_, gain_, 1e-6f);
      project(model.qkv[layer], wide_.cols_from(0, kQkv));
      ops_.rope(wide_.cols_from(0, (kHeads + kKvHeads) * kDim), positions_, table_);
      ops_.store_kv(layer_, wide_.cols_from(kHeads * kDim, kKvHeads * kDim), wide_.cols_from((kHeads + kKvHeads) * kDim, kKvHeads * kDim),
                    spans_);
      ops_.attend(product_.cols_from(0, kHeads * kDim), wide_.cols_from(0, kHeads * kDim), layer_, spans_, {0.125f, 0});
      project(model.o[layer], x_);
      ops_.add_rms_norm(product_.cols_from(0, kHidden), residual_, x_, gain_, 1e-6f);
      project(model.gate_up[layer], wide_);
      ops_.gated(product_, wide_, Activation::silu);
      project(model.down[layer], x_);
    }
    head(model);
    sample();
  }

 private:
  Tensor take(DType dtype, std::int64_t cols, std::int64_t rows = 0) {
    const std::int64_t count = rows == 0 ? rows_ : rows;
    const Tensor out{memory_.data() + used_, dtype, count, cols, cols};
    used_ += (static_cast<std::size_t>(count * cols) * bytes_of(dtype) + 63) / 64 * 64;
    return out;
  }

  Ops& ops_;
  std::int32_t rows_;
  Buffer memory_, pages_memory_, table_memory_;
  std::size_t used_ = 0;
  Tensor wide_, x_, residual_, product_, logits_;
  RopeTable table_;
  KvLayer layer_;
  std::vector<PageIndex> pages_;
  std::vector<std::int32_t> positions_;
  std::vector<SpanView> spans_;
  std::vector<float> gain_ = std::vector<float>(kHidden, 1.0f);
  SampledToken token_;
};

// `limit`: seconds the machine needs at least.
void print_row(const char* what, double seconds, double limit) {
  fmt::print("  {:<32} {:>9.2f} ms {:>7.1f} %\n", what, seconds * 1e3, 100 * limit / seconds);
}

void measure(Backend& backend, const Model& model, std::int32_t rows, std::int32_t context, double bandwidth, double peak) {
  Step step(backend, rows, context);
  double floor = 0;
  fmt::print("\n{} row{} at context {} (share: of the time the machine needs for bytes and products)\n", rows, rows == 1 ? "" : "s",
             context);
  const auto measure_linear = [&](const char* what, const std::vector<LinearWeight>& weights, auto run) {
    const double bytes = bytes_of_weights(weights);
    const bool one_row = &weights == &model.head;
    const double limit = std::max(bytes / bandwidth, bytes * (one_row ? 1 : rows) / peak);
    floor += limit;
    print_row(what, median_seconds(run), limit);
  };
  measure_linear("qkv x 24", model.qkv, [&] { step.linear(model.qkv, kQkv, kHidden); });
  measure_linear("o x 24", model.o, [&] { step.linear(model.o, kHidden, kHeads * kDim); });
  measure_linear("gate_up x 24", model.gate_up, [&] { step.linear(model.gate_up, 2 * kIntermediate, kHidden); });
  measure_linear("down x 24", model.down, [&] { step.linear(model.down, kHidden, kIntermediate); });
  measure_linear("head of one row", model.head, [&] { step.head(model); });
  const double pairs = static_cast<double>(rows) * (2.0 * context - rows + 1) / 2;
  print_row("rope, store_kv, attend x 24", median_seconds([&] { step.attention(); }), 4.0 * kLayers * kHeads * kDim * pairs / peak);
  print_row("norms x 48", median_seconds([&] { step.norms(); }), 0);
  print_row("gated x 24", median_seconds([&] { step.gates(); }), 0);
  print_row("sample top-p", median_seconds([&] { step.sample(); }), 0);
  const double seconds = median_seconds([&] { step.all(model); });
  print_row("a whole step", seconds, floor);
  fmt::print("  {:.1f} tokens/s\n", rows / seconds);
}

void run(int threads) {
  Result<std::unique_ptr<Backend>> backend = create_backend("cpu", {.threads = threads});
  check(backend.has_value(), "a cpu backend");
  const Model model(**backend);
  double bandwidth = 0;
  double peak = 0;
  {
    cpu::ThreadPool pool(threads > 0 ? threads : cpu::usable_core_count());
    Buffer memory(std::size_t{1} << 30);
    std::memset(memory.data(), 1, memory.bytes());
    bandwidth = read_bandwidth(pool, memory);
    peak = bfloat16_peak(pool);
  }
  fmt::print("{}\nread bandwidth {:.1f} GB/s, bf16 peak {:.0f} GFLOP/s\n", (*backend)->description(), bandwidth / 1e9, peak / 1e9);
  if (peak == 0) peak = 1e12;  // no such instruction: shares are then of bandwidth alone
  for (const std::int32_t rows : {1, 4, 8, 16, 32, 128, 512}) measure(**backend, model, rows, std::max(rows, 256), bandwidth, peak);
}

}  // namespace
}  // namespace slora::bench

int main(int argc, char** argv) {
  slora::bench::run(argc > 1 ? std::stoi(argv[1]) : 0);
  return 0;
}
