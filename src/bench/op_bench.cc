#include "bench/op_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "backend/adapter_runs.h"
#include "backend/sample_rows.h"
#include "base/check.h"
#include "base/clock.h"

namespace slora::bench {
namespace {

constexpr double kRepetitionSeconds = 0.01;  // minimum, however short a call is
constexpr std::size_t kCopiesMax = 4096;
constexpr std::int32_t kHeadRowsMax = 64;
constexpr std::array<std::int32_t, 5> kAttendBatches = {1, 4, 8, 16, 32};
constexpr int kFillByte = 0x3c;  // 0.0115 in bf16, and similar in fp32

Buffer filled(std::size_t bytes) {
  Buffer memory(bytes);
  std::memset(memory.data(), kFillByte, bytes);
  return memory;
}

// The adapters of a call, each with records for gate and up in separate memory.
class GateUpAdapters {
 public:
  GateUpAdapters(const ModelConfig& config, const AdapterFormat& format, std::int32_t rank, std::int64_t count, std::int64_t rows)
      : views_(static_cast<std::size_t>(count)) {
    const std::int32_t in = config.hidden_size, out = config.intermediate_size;
    const auto elements_b = static_cast<std::size_t>((rank + format.b_interleave - 1) / format.b_interleave * format.b_interleave) *
                            static_cast<std::size_t>(out);
    const std::size_t bytes_a = static_cast<std::size_t>(rank) * static_cast<std::size_t>(in) * bytes_of(format.dtype);
    const std::size_t bytes_b = elements_b * bytes_of(format.dtype);
    memory_ = filled(views_.size() * 2 * (bytes_a + bytes_b));
    const std::byte* next = memory_.data();
    const std::int32_t b_rows = (rank + format.b_interleave - 1) / format.b_interleave, b_cols = out * format.b_interleave;
    for (AdapterView& view : views_) {
      for (int module = 0; module < 2; ++module) {
        view.tiles.push_back({next, 0, rank, 0, in});
        view.tiles.push_back({next + bytes_a, 0, b_rows, 0, b_cols});
        next += bytes_a + bytes_b;
      }
      for (int module = 0; module < 2; ++module) {
        const Tile* tiles = view.tiles.data() + 2 * module;
        RecordView& record = view.records.emplace_back();
        record.slice_begin = module * out;
        record.out = out;
        record.in = in;
        record.rank = rank;
        record.z_begin = module * rank;
        record.scale = 1;
        record.a = {tiles, 1, rank, in, format.dtype};
        record.b = {tiles + 1, 1, b_rows, b_cols, format.dtype};
      }
      view.sites.assign(site_count(1), {});
      view.sites[index_of(Site{0, SiteKind::gate_up})] = {0, 2, 2 * rank};
      view.z_cols_max = 2 * rank;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const auto begin = static_cast<std::int32_t>(rows * i / count), end = static_cast<std::int32_t>(rows * (i + 1) / count);
      segments_.push_back({begin, end - begin, 0, 1.0f, &views_[static_cast<std::size_t>(i)]});
    }
    runs_.cut(segments_);
  }

  [[nodiscard]] AdapterBatch batch() const {
    return {.segments = segments_, .z_cols = views_.front().z_cols_max, .runs = runs_.runs(), .run_segments = runs_.segments()};
  }
  [[nodiscard]] std::size_t bytes() const { return memory_.bytes(); }

 private:
  Buffer memory_;
  std::vector<AdapterView> views_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;
};

}  // namespace

Result<std::unique_ptr<OpBench>> OpBench::create(const ModelConfig& config, const OpOptions& options) {
  Result<std::unique_ptr<Backend>> backend = create_backend(options.backend, options.backend_options);
  if (!backend) return forward_error(backend);
  return std::unique_ptr<OpBench>(new OpBench(config, options, std::move(*backend)));
}

OpBench::OpBench(const ModelConfig& config, const OpOptions& options, std::unique_ptr<Backend> backend)
    : config_(config),
      options_(options),
      backend_(std::move(backend)),
      read_memory_(filled(2 * options.cold_bytes)),
      probe_(backend_->thread_count(), std::array{std::span<const std::byte>(read_memory_.data(), read_memory_.bytes())},
             options.backend_options.instructions) {}

void OpBench::run(const OnRow& on_row, const std::atomic<bool>& stop) {
  on_row_ = &on_row;
  stop_ = &stop;
  limits_ = probe_.measure();
  for (const OpGroup group : options_.groups) {
    switch (group) {
      case OpGroup::products:
        run_products();
        break;
      case OpGroup::adapters:
        run_adapters();
        break;
      case OpGroup::attention:
        run_attention();
        break;
      case OpGroup::rows:
        run_rows();
        break;
      case OpGroup::sampling:
        run_sampling();
        break;
    }
  }
}

std::size_t OpBench::copies_for(double bytes) const {
  return std::min(static_cast<std::size_t>(static_cast<double>(options_.cold_bytes) / bytes) + 1, kCopiesMax);
}

// Calls use the copies in rotation, as the layers of a step use their weights.
std::vector<double> OpBench::time_calls(std::size_t copy_count, const Call& call) const {
  const SteadyClock clock;
  const auto call_all = [&](std::size_t rounds) {
    const Timestamp begin = clock.now();
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t copy = 0; copy < copy_count; ++copy) call(copy);
    }
    return seconds(clock.now() - begin) / static_cast<double>(rounds * copy_count);
  };
  call_all(1);
  const double once = call_all(1) * static_cast<double>(copy_count);
  const std::size_t rounds = once >= kRepetitionSeconds ? 1 : static_cast<std::size_t>(kRepetitionSeconds / once) + 1;
  std::vector<double> times;
  for (int repeat = 0; repeat < options_.repeats; ++repeat) times.push_back(call_all(rounds));
  return times;
}

void OpBench::measure(OpRow row, std::size_t copy_count, const Call& call) {
  row.seconds = time_calls(copy_count, call);
  const MachineLimits after = probe_.measure();
  row.limits = mean(limits_, after);
  limits_ = after;
  (*on_row_)(row);
}

void OpBench::run_products() {
  const std::int64_t hidden = config_.hidden_size, inner = config_.intermediate_size;
  const std::int32_t rows_max = *std::ranges::max_element(options_.rows);
  run_product("linear qkv", config_.q_width() + 2 * config_.kv_width(), hidden, rows_max);
  run_product("linear o", hidden, config_.q_width(), rows_max);
  run_product("linear_gated gate_up", 2 * inner, hidden, rows_max);
  run_product("linear down", hidden, inner, rows_max);
  run_product("linear head", config_.vocab_size, hidden, kHeadRowsMax);
}

void OpBench::run_product(const std::string& name, std::int64_t out, std::int64_t in, std::int32_t rows_max) {
  const bool is_table = name == "linear head";
  const std::size_t bytes = is_table ? backend_->table_bytes(out, in) : backend_->linear_bytes(out, in);
  std::vector<LinearWeight> weights;
  for (std::size_t i = copies_for(static_cast<double>(bytes)); i > 0; --i) weights.push_back(random_product(out, in, is_table));
  const bool is_gated = name.starts_with("linear_gated");
  for (const std::int32_t rows : options_.rows) {
    if (rows > rows_max || stopped()) continue;
    const Tensor x = product_input(rows, in);
    const Tensor y = is_gated ? product_output(rows, out / 2) : float_output(rows, out);
    OpRow row;
    row.op = name;
    row.shape = fmt::format("{} x {}", out, in);
    row.rows = rows;
    row.work = {static_cast<double>(bytes), 2.0 * static_cast<double>(rows * out * in), 0};
    row.arithmetic = arithmetic();
    row.baseline_seconds = baseline_seconds({rows, out, in, weights.size(), backend_->thread_count()});
    measure(std::move(row), weights.size(), [&](std::size_t copy) {
      if (is_gated) {
        backend_->ops().linear_gated(y, x, weights[copy], {}, {}, Site{0, SiteKind::gate_up}, config_.activation);
      } else {
        backend_->ops().linear(y, x, weights[copy], {}, {}, Site{0, SiteKind::qkv});
      }
    });
  }
}

// oneDNN's threads keep spinning for a while after a call: waits until they sleep before measuring the limits again.
std::optional<double> OpBench::baseline_seconds(const OneDnnShape& shape) {
  const Call product = make_onednn_product(shape);
  if (!product) return std::nullopt;
  const double time = median(time_calls(shape.copy_count, product));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  limits_ = probe_.measure();
  return time;
}

LinearWeight OpBench::random_product(std::int64_t out, std::int64_t in, bool is_table) {
  constexpr std::int64_t kShift = 7;  // each row is a window of one list, shifted by this much from the previous
  std::vector<Bfloat16> numbers(static_cast<std::size_t>(in + kShift * out));
  for (Bfloat16& number : numbers) number = to_bfloat16(static_cast<float>(random_.below(201)) * 0.001f - 0.1f);
  LinearWeight weight = is_table ? backend_->make_table(out, in) : backend_->make_linear(out, in);
  backend_->pack_rows(weight, 0, {reinterpret_cast<std::byte*>(numbers.data()), DType::bf16, out, in, kShift});
  return weight;
}

void OpBench::run_adapters() {
  for (const std::int32_t rank : options_.ranks) {
    for (const std::int32_t rows : options_.rows) {
      if (stopped()) return;
      run_adapters_of(rank, rows, 1);
      constexpr std::int32_t kDistinctMax = 32;
      if (rows > 1 && rows <= kDistinctMax) run_adapters_of(rank, rows, rows);
    }
  }
}

// Shrink, and expand as part of the product: the row counts the bytes and operations of both.
void OpBench::run_adapters_of(std::int32_t rank, std::int64_t rows, std::int64_t adapter_count) {
  const std::int64_t in = config_.hidden_size, inner = config_.intermediate_size;
  const double parameters_a = 2.0 * rank * static_cast<double>(in), parameters_b = 2.0 * rank * static_cast<double>(inner);
  const double bytes_each = static_cast<double>(bytes_of(backend_->adapter_format().dtype));
  const std::size_t product_bytes = backend_->linear_bytes(2 * inner, in);
  std::vector<GateUpAdapters> adapters;
  std::vector<LinearWeight> weights;
  const auto bytes = bytes_each * (parameters_a + parameters_b) * static_cast<double>(adapter_count);
  for (std::size_t i = copies_for(bytes); i > 0; --i) adapters.emplace_back(config_, backend_->adapter_format(), rank, adapter_count, rows);
  for (std::size_t i = copies_for(static_cast<double>(product_bytes)); i > 0; --i) weights.push_back(random_product(2 * inner, in));

  const Tensor x = product_input(rows, in);
  const Tensor y = product_output(rows, inner);
  Buffer z_memory = filled(static_cast<std::size_t>(rows) * 2 * static_cast<std::size_t>(rank) * sizeof(float));
  const Tensor z = z_memory.view(DType::f32, rows, 2 * std::int64_t{rank});
  OpRow row;
  row.shape = fmt::format("r{}, {}", rank, adapter_count == 1 ? "one for all" : "each its own");
  row.rows = rows;
  row.arithmetic = arithmetic();
  constexpr Site kSite{0, SiteKind::gate_up};
  const auto share = [&](double parameters) {
    return Work{bytes_each * parameters * static_cast<double>(adapter_count), 0, 2 * parameters * static_cast<double>(rows)};
  };
  row.op = "shrink gate_up";
  row.work = share(parameters_a);
  measure(row, adapters.size(), [&](std::size_t copy) { backend_->ops().shrink(z, x, adapters[copy].batch(), kSite); });
  row.op = "linear_gated + expand";
  row.work = share(parameters_b);
  row.work += {static_cast<double>(product_bytes), 2.0 * static_cast<double>(rows * 2 * inner * in), 0};
  measure(row, std::max(adapters.size(), weights.size()), [&](std::size_t copy) {
    backend_->ops().linear_gated(y, x, weights[copy % weights.size()], z, adapters[copy % adapters.size()].batch(), kSite,
                                 config_.activation);
  });
}

void OpBench::run_attention() {
  for (const std::int32_t context : options_.contexts) {
    for (const std::int32_t sequences : kAttendBatches) {
      if (stopped()) return;
      if (std::int64_t{sequences} * context <= kAttendTokensMax) run_attend("attend decode", sequences, 1, context);
    }
  }
  for (const std::int32_t tokens : options_.rows) {
    if (tokens >= 64 && !stopped()) run_attend("attend prefill", 1, tokens, tokens);
  }
}

// The last `tokens` of `context` tokens of each sequence.
void OpBench::run_attend(const std::string& name, std::int32_t sequences, std::int32_t tokens, std::int32_t context) {
  const DType dtype = backend_->kv_dtype();
  ModelConfig config = config_;
  const double token_bytes = 2.0 * config.kv_width() * static_cast<double>(bytes_of(dtype));
  const double bytes = token_bytes * sequences * context;
  config.layer_count = static_cast<std::int32_t>(std::min<std::size_t>(copies_for(bytes), 64));
  const KvGeometry kv = make_kv_geometry(config, dtype, default_page_tokens(config_, dtype));
  const auto page_count = static_cast<std::size_t>((context + kv.page_tokens - 1) / kv.page_tokens);
  const Buffer pool = filled(page_count * static_cast<std::size_t>(sequences) * kv.page_bytes());
  std::vector<PageIndex> pages(page_count * static_cast<std::size_t>(sequences));
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = {static_cast<std::uint32_t>(i)};
  for (std::size_t i = pages.size() - 1; i > 0; --i) std::swap(pages[i], pages[random_.below(i + 1)]);
  std::vector<SpanView> spans;
  for (std::int32_t i = 0; i < sequences; ++i) {
    const auto count = static_cast<std::int32_t>(page_count);
    spans.push_back({i * tokens, tokens, context - tokens, i * count, count});
  }
  const std::int64_t rows = std::int64_t{sequences} * tokens;
  const Tensor q = float_output(rows, config.q_width());
  const Tensor out = product_output(rows, config.q_width());
  OpRow row;
  row.op = name;
  row.shape = fmt::format("{} keys, {}/{} heads", context, config.head_count, config.kv_head_count);
  row.rows = rows;
  row.work = {bytes, 0, 4.0 * config.q_width() * static_cast<double>(rows) * (2.0 * context - tokens + 1) / 2};
  const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  measure(std::move(row), static_cast<std::size_t>(config.layer_count), [&](std::size_t copy) {
    backend_->ops().attend(out, q, kv.layer(static_cast<std::int32_t>(copy), pool.data()), {spans, pages}, {scale, 0});
  });
}

// Ops whose inputs are still in caches from the op before.
void OpBench::run_rows() {
  const std::int64_t hidden = config_.hidden_size;
  const DeviceVector gain = backend_->make_vector(std::vector<float>(static_cast<std::size_t>(hidden), 1.0f));
  const std::int64_t heads = config_.head_count + config_.kv_head_count, half = config_.head_dim / 2;
  for (const std::int32_t rows : options_.rows) {
    if (stopped()) return;
    Ops& ops = backend_->ops();
    const Buffer x_memory = filled(static_cast<std::size_t>(rows * hidden) * sizeof(float));
    const Tensor x = x_memory.view(DType::f32, rows, hidden), residual = float_output(rows, std::max(hidden, heads * 2 * half));
    const Tensor h = product_output(rows, hidden);
    OpRow row;
    row.rows = rows;
    row.op = "add_rms_norm";
    row.shape = fmt::format("{}", hidden);
    measure(row, 1, [&](std::size_t) { ops.add_rms_norm(h, residual.cols_from(0, hidden), x, gain.view(), 1e-6f, {}, kOutputNormSite); });
    std::vector<std::int32_t> positions(static_cast<std::size_t>(rows));
    for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int32_t>(i);
    const Buffer table = filled(static_cast<std::size_t>(rows * half) * sizeof(float));
    const Tensor angles = table.view(DType::f32, rows, half);
    row.op = "rope";
    row.shape = fmt::format("{} heads of {}", heads, 2 * half);
    measure(row, 1, [&](std::size_t) { ops.rope(residual.cols_from(0, heads * 2 * half), positions, {angles, angles}); });
  }
}

// Logits are rewritten before each call, outside of the measured time, because sampling modifies them.
void OpBench::run_sampling() {
  const std::int64_t vocab = config_.vocab_size;
  constexpr std::int32_t kRowsMax = 64;
  for (const float top_p : {1.0f, 0.95f}) {
    for (const std::int32_t rows : options_.rows) {
      if (rows > kRowsMax || stopped()) continue;
      const Tensor logits = float_output(rows, vocab);
      const SamplingParams params{.temperature = top_p < 1 ? 0.8f : 0.0f, .top_p = top_p};
      SampleRows wanted;
      for (std::int32_t i = 0; i < rows; ++i) wanted.add({.params = &params});
      std::vector<TokenResult> tokens(wanted.size());
      OpRow row;
      row.op = top_p < 1 ? "sample top-p 0.95" : "sample greedy";
      row.shape = fmt::format("{} tokens", vocab);
      row.rows = rows;
      const SteadyClock clock;
      for (int repeat = -1; repeat < options_.repeats; ++repeat) {
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t i = 0; i < vocab; ++i) logits.row<float>(r)[i] = static_cast<float>(random_.next() >> 40) * 0x1p-22f - 2.0f;
        }
        const Timestamp begin = clock.now();
        backend_->ops().sample(tokens, logits, wanted.batch());
        if (repeat >= 0) row.seconds.push_back(seconds(clock.now() - begin));
      }
      (*on_row_)(row);
    }
  }
}

Tensor OpBench::product_input(std::int64_t rows, std::int64_t cols) {
  input_ = filled(static_cast<std::size_t>(rows * cols) * bytes_of(backend_->product_dtype()));
  return input_.view(backend_->product_dtype(), rows, cols);
}

Tensor OpBench::product_output(std::int64_t rows, std::int64_t cols) {
  product_output_ = filled(static_cast<std::size_t>(rows * cols) * bytes_of(backend_->product_dtype()));
  return product_output_.view(backend_->product_dtype(), rows, cols);
}

Tensor OpBench::float_output(std::int64_t rows, std::int64_t cols) {
  float_output_ = filled(static_cast<std::size_t>(rows * cols) * sizeof(float));
  return float_output_.view(DType::f32, rows, cols);
}

}  // namespace slora::bench
