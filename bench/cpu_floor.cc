// How near the cpu backend comes to what the machine can do, on the shape of Qwen2.5-0.5B: decoding against read bandwidth,
// prefilling against the bf16 peak, both measured in the same run. Medians of five.
//   cpu_floor [threads [decoded sequences or, from 64 on, prompt tokens]...]
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

// What a step computes: one token of each of `sequences`, all at the same length, or a prompt's.
struct Work {
  std::int32_t sequences;
  std::int32_t tokens;  // of each sequence
  std::int32_t context;

  [[nodiscard]] std::int32_t rows() const { return sequences * tokens; }
  // Pairs of query and key.
  [[nodiscard]] double pairs() const { return static_cast<double>(rows()) * (2.0 * context - tokens + 1) / 2; }
};

struct Limits {
  double bandwidth;  // bytes per second
  double peak;       // FLOP per second
};

// Activations, and the K and V of one layer.
class Step {
 public:
  Step(Backend& backend, const Work& work)
      : ops_(backend.ops()), rows_(work.rows()), head_rows_(work.sequences), memory_(backend.allocate(std::size_t{1} << 30)) {
    wide_ = take(DType::f32, rows_, 2 * kIntermediate);
    x_ = take(DType::f32, rows_, kHidden);
    residual_ = take(DType::f32, rows_, kHidden);
    product_ = take(backend.product_dtype(), rows_, kIntermediate);
    inner_ = take(backend.product_dtype(), rows_, kIntermediate);
    logits_ = take(DType::f32, head_rows_, kVocab);
    ops_.fill(residual_, 0.5f);
    ops_.fill(x_, 0.25f);
    ops_.fill(product_, 0.125f);
    const std::size_t side = kPageTokens * kKvHeads * kDim * bytes_of(backend.kv_dtype());
    const auto page_count = static_cast<std::uint32_t>((work.context + kPageTokens - 1) / kPageTokens);
    pages_memory_ = backend.allocate(2 * side * page_count * static_cast<std::size_t>(work.sequences));
    layer_ = {pages_memory_.data(), 2 * side, 0, side, kPageTokens, kKvHeads, kDim};
    for (std::uint32_t page = 0; page < page_count * static_cast<std::uint32_t>(work.sequences); ++page) pages_.push_back({page});
    for (std::int32_t sequence = 0; sequence < work.sequences; ++sequence) {
      const std::int32_t begin = work.context - work.tokens;
      spans_.push_back({sequence * work.tokens, work.tokens, begin,
                        std::span(pages_).subspan(static_cast<std::size_t>(sequence) * page_count, page_count)});
      for (std::int32_t token = 0; token < work.tokens; ++token) positions_.push_back(begin + token);
    }
    table_memory_ = backend.allocate(static_cast<std::size_t>(work.context) * kDim * sizeof(float));
    const Tensor table = table_memory_.view(DType::f32, work.context, kDim / 2);
    table_ = {table, table};
    sample_rows_.resize(static_cast<std::size_t>(head_rows_));
    tokens_.resize(sample_rows_.size());
    for (SampleRow& row : sample_rows_) {
      row.temperature = 0.8f;
      row.top_p = 0.95f;
    }
  }

  void linear(const std::vector<LinearWeight>& weights, std::int64_t out, std::int64_t in) {
    for (const LinearWeight& weight : weights) ops_.linear(wide_.cols_from(0, out), product_.cols_from(0, in), weight, {}, {}, kSite);
  }
  void head(const Model& model) {
    ops_.linear(logits_, product_.rows_from(rows_ - head_rows_, head_rows_).cols_from(0, kHidden), model.head[0], {}, {}, kSite);
  }
  void norms() {
    for (int i = 0; i < 2 * kLayers; ++i) ops_.add_rms_norm(product_.cols_from(0, kHidden), residual_, x_, gain_, 1e-6f);
  }
  void gate_up(const Model& model) {
    for (const LinearWeight& weight : model.gate_up) {
      ops_.linear_gated(inner_, product_.cols_from(0, kHidden), weight, {}, {}, kSite, Activation::silu);
    }
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
  void sample() { ops_.sample(tokens_, logits_, sample_rows_); }
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
      ops_.linear_gated(inner_, product_.cols_from(0, kHidden), model.gate_up[layer], {}, {}, kSite, Activation::silu);
      ops_.linear(x_, inner_, model.down[layer], {}, {}, kSite);
    }
    head(model);
    sample();
  }

 private:
  Tensor take(DType dtype, std::int64_t rows, std::int64_t cols) {
    const Tensor out{memory_.data() + used_, dtype, rows, cols, cols};
    used_ += (static_cast<std::size_t>(rows * cols) * bytes_of(dtype) + 63) / 64 * 64;
    return out;
  }

  Ops& ops_;
  std::int32_t rows_, head_rows_;
  Buffer memory_, pages_memory_, table_memory_;
  std::size_t used_ = 0;
  Tensor wide_, x_, residual_, product_, inner_, logits_;
  RopeTable table_;
  KvLayer layer_;
  std::vector<PageIndex> pages_;
  std::vector<std::int32_t> positions_;
  std::vector<SpanView> spans_;
  std::vector<float> gain_ = std::vector<float>(kHidden, 1.0f);
  std::vector<SampleRow> sample_rows_;
  std::vector<SampledToken> tokens_;
};

// `limit`: seconds the machine needs at least.
void print_row(const char* what, double seconds, double limit) {
  fmt::print("  {:<32} {:>9.2f} ms {:>7.1f} %\n", what, seconds * 1e3, 100 * limit / seconds);
}

Limits measure_limits(int threads) {
  cpu::ThreadPool pool(threads > 0 ? threads : cpu::usable_core_count());
  Buffer memory(std::size_t{1} << 30);
  std::memset(memory.data(), 1, memory.bytes());
  const Limits limits{read_bandwidth(pool, memory), bfloat16_peak(pool)};
  fmt::print("\nread bandwidth {:.1f} GB/s, bf16 peak {:.0f} GFLOP/s\n", limits.bandwidth / 1e9, limits.peak / 1e9);
  return {limits.bandwidth, limits.peak > 0 ? limits.peak : 1e15};  // no such instruction: shares are then of bandwidth alone
}

void measure(Backend& backend, const Model& model, const Work& work, const Limits& limits) {
  Step step(backend, work);
  double floor = 0;
  fmt::print("{} sequence{} x {} token{} at length {}: time, and what the machine needs at least for bytes and products\n", work.sequences,
             work.sequences == 1 ? "" : "s", work.tokens, work.tokens == 1 ? "" : "s", work.context);
  const auto measure_linear = [&](const char* what, const std::vector<LinearWeight>& weights, auto run) {
    const double bytes = bytes_of_weights(weights);
    const double rows = &weights == &model.head ? work.sequences : work.rows();
    const double limit = std::max(bytes / limits.bandwidth, bytes * rows / limits.peak);  // two bytes and two FLOP a weight
    floor += limit;
    print_row(what, median_seconds(run), limit);
  };
  measure_linear("qkv x 24", model.qkv, [&] { step.linear(model.qkv, kQkv, kHidden); });
  measure_linear("o x 24", model.o, [&] { step.linear(model.o, kHidden, kHeads * kDim); });
  measure_linear("gate_up x 24", model.gate_up, [&] { step.gate_up(model); });
  measure_linear("down x 24", model.down, [&] { step.linear(model.down, kHidden, kIntermediate); });
  measure_linear("head", model.head, [&] { step.head(model); });
  print_row("rope, store_kv, attend x 24", median_seconds([&] { step.attention(); }),
            4.0 * kLayers * kHeads * kDim * work.pairs() / limits.peak);
  print_row("norms x 48", median_seconds([&] { step.norms(); }), 0);
  print_row("sample top-p", median_seconds([&] { step.sample(); }), 0);
  const double seconds = median_seconds([&] { step.all(model); });
  print_row("a whole step", seconds, floor);
  fmt::print("  {:.1f} tokens/s\n", work.rows() / seconds);
}

void run(int threads, const std::vector<std::int32_t>& sizes) {
  constexpr std::int32_t kPromptFrom = 64;
  constexpr std::int32_t kDecodeContext = 256;
  Result<std::unique_ptr<Backend>> backend = create_backend("cpu", {.threads = threads});
  check(backend.has_value(), "a cpu backend");
  fmt::print("{}\n", (*backend)->description());
  const Model model(**backend);
  for (const std::int32_t size : sizes) {
    const Work work = size < kPromptFrom ? Work{size, 1, kDecodeContext} : Work{1, size, size};
    measure(**backend, model, work, measure_limits(threads));  // anew each time: others may use the machine
  }
}

}  // namespace
}  // namespace slora::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::vector<std::int32_t> sizes;
  for (std::size_t i = 1; i < arguments.size(); ++i) sizes.push_back(std::stoi(arguments[i]));
  if (sizes.empty()) sizes = {1, 4, 8, 16, 32, 128, 512};
  slora::bench::run(arguments.empty() ? 0 : std::stoi(arguments[0]), sizes);
  return 0;
}
