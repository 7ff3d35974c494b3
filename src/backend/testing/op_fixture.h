#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/host_backend.h"
#include "backend/sample_rows.h"
#include "backend/testing/downloaded.h"
#include "backend/testing/variant.h"
#include "base/testing/largest_property.h"

// What the tests of Ops share: random numbers, and matrices that own their memory.
namespace slora::testing {

// Numbers that bf16 holds exactly, so that storage rounds nothing and only the arithmetic is compared. Others with --gtest_random_seed.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : random_(seed + 1000003 * static_cast<std::uint64_t>(GTEST_FLAG_GET(random_seed))) {}
  float next() { return to_float(to_bfloat16(std::uniform_real_distribution<float>(-1, 1)(random_))); }
  std::vector<float> vector(std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& value : out) value = next();
    return out;
  }

 private:
  std::mt19937_64 random_;
};

// Device memory of exactly this size. In the host's memory it is an allocation of its own, so that sanitizers notice reads beyond its end.
inline Buffer exact_memory(Backend& backend, std::size_t bytes) {
  if (dynamic_cast<HostBackend*>(&backend) == nullptr) return backend.allocate(bytes);
  return Buffer::adopt({static_cast<std::byte*>(std::malloc(std::max<std::size_t>(bytes, 1))), std::free},
                       bytes);  // NOLINT: its end counts
}

inline void upload_bytes(Backend& backend, std::byte* to, const void* from, std::size_t bytes) {
  const auto count = static_cast<std::int64_t>(bytes);
  backend.upload({to, DType::u8, 1, count, count}, from);
}

inline Buffer uploaded(Backend& backend, const void* from, std::size_t bytes) {
  Buffer memory = exact_memory(backend, bytes);
  if (bytes > 0) upload_bytes(backend, memory.data(), from, bytes);
  return memory;
}

// An array of a step, on the host and on the device.
template <class T>
class OnDevice {
 public:
  OnDevice(Backend& backend, std::vector<T> values)
      : backend_(&backend), values_(std::move(values)), memory_(uploaded(backend, values_.data(), values_.size() * sizeof(T))) {}
  operator StepArray<T>() const { return {values_, reinterpret_cast<const T*>(memory_.data())}; }  // NOLINT: as the argument of an op
  [[nodiscard]] const std::vector<T>& values() const { return values_; }
  // For ops that write it.
  [[nodiscard]] std::span<T> span() { return {reinterpret_cast<T*>(memory_.data()), values_.size()}; }
  [[nodiscard]] std::vector<T> downloaded() {
    const auto bytes = static_cast<std::int64_t>(values_.size() * sizeof(T));
    backend_->download(values_.data(), {memory_.data(), DType::u8, 1, bytes, bytes});
    return values_;
  }

 private:
  Backend* backend_;
  std::vector<T> values_;
  Buffer memory_;
};

// The segments of a batch with their runs.
class MadeSegments {
 public:
  MadeSegments(Backend& backend, const std::vector<AdapterSegment>& segments, std::int32_t z_cols)
      : MadeSegments(backend, segments, z_cols, cut(segments)) {}
  operator AdapterBatch() const {  // NOLINT: as the argument of an op
    return {.segments = segments_, .z_cols = z_cols_, .runs = runs_, .run_segments = run_segments_};
  }

 private:
  MadeSegments(Backend& backend, const std::vector<AdapterSegment>& segments, std::int32_t z_cols, const AdapterRuns& runs)
      : segments_(backend, segments), runs_(backend, runs.runs()), run_segments_(backend, runs.segments()), z_cols_(z_cols) {}
  static AdapterRuns cut(const std::vector<AdapterSegment>& segments) {
    AdapterRuns runs;
    runs.cut(segments);
    return runs;
  }

  OnDevice<AdapterSegment> segments_;
  OnDevice<AdapterRun> runs_;
  OnDevice<std::int32_t> run_segments_;
  std::int32_t z_cols_;
};

// Numbers in device memory, with the backend that brings them to the host.
class DeviceTensor {
 public:
  DeviceTensor(Backend& backend, Tensor tensor) : backend_(&backend), tensor_(tensor) {}
  operator Tensor() const { return tensor_; }  // NOLINT: implicit, as the argument of an op
  [[nodiscard]] DeviceTensor rows_from(std::int64_t begin, std::int64_t count) const {
    return {*backend_, tensor_.rows_from(begin, count)};
  }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> out(static_cast<std::size_t>(tensor_.rows * tensor_.cols) * bytes_of(tensor_.dtype));
    backend_->download(out.data(), tensor_);
    return out;
  }
  [[nodiscard]] std::vector<float> values() const { return downloaded(*backend_, tensor_); }

 private:
  Backend* backend_;
  Tensor tensor_;
};

// A matrix in device memory of its own, each row followed by a gap of NaN bits that nobody may read. On a device rows begin at multiples of
// 16 bytes, as those of a model do.
class Matrix {
 public:
  Matrix(Backend& backend, DType dtype, std::int64_t rows, std::int64_t cols) : backend_(&backend) {
    constexpr std::int64_t kGap = 8;
    const bool is_in_host_memory = dynamic_cast<HostBackend*>(&backend) != nullptr;
    const std::int64_t stride = is_in_host_memory ? cols + kGap : (cols + 2 * kGap - 1) / kGap * kGap;
    const std::vector<std::byte> nan(static_cast<std::size_t>((rows + 1) * stride) * bytes_of(dtype), std::byte{0xff});
    memory_ = uploaded(backend, nan.data(), nan.size());
    tensor_ = {memory_.data(), dtype, rows, cols, stride};
  }
  Matrix(Backend& backend, DType dtype, std::int64_t rows, std::int64_t cols, const std::vector<float>& values)
      : Matrix(backend, dtype, rows, cols) {
    std::vector<std::byte> rounded(static_cast<std::size_t>(rows * cols) * bytes_of(dtype));
    convert_from_float(rounded.data(), dtype, values.data(), static_cast<std::size_t>(rows * cols));
    backend.upload(tensor_, rounded.data());
  }

  [[nodiscard]] DeviceTensor tensor() const { return {*backend_, tensor_}; }
  operator DeviceTensor() const { return tensor(); }  // NOLINT
  operator Tensor() const { return tensor_; }         // NOLINT: implicit, as the argument of an op

 private:
  Backend* backend_;
  Buffer memory_;
  Tensor tensor_;
};

inline std::vector<float> values_of(const DeviceTensor& tensor) { return tensor.values(); }

inline bool same_bits(const DeviceTensor& a, const DeviceTensor& b) {
  const Tensor x = a, y = b;
  return x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype && a.bytes() == b.bytes();
}

// Draws a token from each row of logits. `previous`: what rows with a pending token refer to. `masks`: of the rows, or empty ones, or none.
inline std::vector<TokenResult> sample_all(Backend& backend, Tensor logits, std::vector<SampleSource> sources,
                                           const std::vector<TokenResult>& previous = {},
                                           const std::vector<std::vector<std::uint32_t>>& masks = {}) {
  SampleRows flat;
  for (std::size_t i = 0; i < masks.size(); ++i) sources[i].mask_words = masks[i].size();
  for (const SampleSource& source : sources) flat.add(source);
  for (std::size_t i = 0; i < masks.size(); ++i) std::ranges::copy(masks[i], flat.mask_of(i).begin());
  const SampleBatch host = flat.batch();
  const auto on_device = [&](auto list) { return OnDevice(backend, std::vector(list.host.begin(), list.host.end())); };
  const OnDevice rows = on_device(host.rows);
  const OnDevice counts = on_device(host.counts);
  const OnDevice tokens = on_device(host.tokens);
  const OnDevice biases = on_device(host.biases);
  const OnDevice words = on_device(host.masks);
  const OnDevice before(backend, previous);
  OnDevice out(backend, std::vector<TokenResult>(sources.size()));
  backend.ops().sample(out.span(), logits, {rows, counts, tokens, biases, words, StepArray<TokenResult>(before).device});
  return out.downloaded();
}

// Scores a token in each row of logits.
inline std::vector<TokenResult> score_all(Backend& backend, Tensor logits, const std::vector<ScoreRow>& rows) {
  OnDevice out(backend, std::vector<TokenResult>(rows.size()));
  backend.ops().score(out.span(), logits, OnDevice(backend, rows));
  return out.downloaded();
}

// The norm of the difference divided by the norm of the expected values. NaN counts as infinite.
inline double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0;
  double norm = 1e-30;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double error = std::isnan(difference) ? INFINITY : std::sqrt(difference / norm);
  record_largest("relative_error", error);
  return error;
}

inline LinearWeight pack(Backend& backend, std::int64_t out, std::int64_t in, const std::vector<float>& values, DType file_dtype) {
  LinearWeight weight = backend.make_linear(out, in);
  std::vector<std::byte> stored(values.size() * bytes_of(file_dtype));
  convert_from_float(stored.data(), file_dtype, values.data(), values.size());
  const Tensor rows{stored.data(), file_dtype, out, in, in};
  const std::int64_t half = out / 2;
  backend.pack_rows(weight, half, rows.rows_from(half, out - half));  // in any order
  backend.pack_rows(weight, 0, rows.rows_from(0, half));
  return weight;
}

// How the matrices of an adapter are divided into tiles.
struct Cuts {
  std::int32_t tile_rows = 1000;
  std::int32_t tile_cols = 1 << 20;  // stored elements
};

// One module of a random adapter; a [rank, in] and b [rank, out] row by row, what else it has as in RecordView.
struct MadeRecord {
  std::int32_t slice_begin, out, in, rank;
  float scale;
  std::vector<float> a, b, bias;
  BiasMode bias_mode = BiasMode::add;
  LowRank low_rank = LowRank::sum;
  std::vector<float> input_gain{}, rank_gain{}, delta_gain{}, gain{};
  std::vector<std::int32_t> sparse_ends{}, sparse_columns{};  // [out], [elements], or empty
  std::vector<float> sparse_values{};                         // [elements]
  bool has_long_columns = false;                              // i32, not u16
  std::int32_t row_cols = 0;                                  // of `rows`; 0: none
  std::vector<float> rows{};                                  // [count, row_cols] row by row
  std::vector<std::int32_t> row_ids{};                        // [count], or empty
};

inline MadeRecord make_record(Numbers& numbers, std::int32_t slice_begin, std::int32_t out, std::int32_t in, std::int32_t rank) {
  return {slice_begin, out, in, rank, 0.5f, numbers.vector(rank * in), numbers.vector(rank * out), {}, BiasMode::add};
}

// An adapter of one site as a loader would lay it out for a backend. Each tile is an allocation of its own.
class MadeAdapter {
 public:
  MadeAdapter(Backend& backend, Site site, const std::vector<MadeRecord>& records, Cuts cuts, AdapterId id = kNoAdapter,
              std::int32_t expert_count = 0)
      : backend_(&backend) {
    const AdapterFormat format = backend.adapter_format();
    view_.id = id;
    view_.expert_count = expert_count;
    view_.changes_mlps = site.kind == SiteKind::gate_up || site.kind == SiteKind::down;
    view_.sites.resize(site_count(site.layer + 1, expert_count));
    auto& range = view_.sites[index_of(site, expert_count)];
    for (const MadeRecord& made : records) {
      RecordView record{.slice_begin = made.slice_begin,
                        .out = made.out,
                        .in = made.in,
                        .rank = made.rank,
                        .z_begin = range.z_cols,
                        .scale = made.scale,
                        .a = {},
                        .b = {},
                        .low_rank = made.low_rank,
                        .input_gain = vector_of(made.input_gain),
                        .rank_gain = vector_of(made.rank_gain),
                        .delta_gain = vector_of(made.delta_gain),
                        .gain = vector_of(made.gain),
                        .bias = vector_of(made.bias),
                        .bias_mode = made.bias_mode};
      record.a = cut(format.dtype, made.rank, made.in, made.a, cuts);
      const std::int32_t interleave = format.b_interleave;
      record.b = cut(format.dtype, (made.rank + interleave - 1) / interleave, made.out * interleave, interleaved(made, interleave), cuts);
      if (!made.sparse_ends.empty()) record.sparse = sparse_of(made, format.dtype, cuts);
      if (made.row_cols > 0) {
        record.rows = cut(format.dtype, static_cast<std::int32_t>(made.rows.size()) / made.row_cols, made.row_cols, made.rows, cuts);
        if (!made.row_ids.empty()) record.row_ids = vector_of(made.row_ids);
      }
      view_.records.push_back(record);
      range.z_cols += made.low_rank == LowRank::sum ? made.rank : 0;
      ++range.count;
    }
    view_.z_cols_max = range.z_cols;
  }

  [[nodiscard]] const AdapterView& view() const { return view_; }

 private:
  static std::vector<float> interleaved(const MadeRecord& made, std::int32_t interleave) {
    if (interleave == 1) return made.b;
    std::vector<float> out(static_cast<std::size_t>((made.rank + 1) / 2 * 2 * made.out));
    for (std::int32_t j = 0; j < made.rank; ++j) {
      for (std::int32_t n = 0; n < made.out; ++n)
        out[static_cast<std::size_t>((j / 2 * made.out + n) * 2 + j % 2)] = made.b[static_cast<std::size_t>(j * made.out + n)];
    }
    return out;
  }

  template <class T>
  const T* vector_of(const std::vector<T>& values) {
    if (values.empty()) return nullptr;
    return reinterpret_cast<const T*>(memory_.emplace_back(uploaded(*backend_, values.data(), values.size() * sizeof(T))).data());
  }

  SparseMatrix sparse_of(const MadeRecord& made, DType dtype, Cuts cuts) {
    const auto count = static_cast<std::int32_t>(made.sparse_columns.size());
    const Cuts column_cuts{1, std::max(1, cuts.tile_cols / 3)};  // other ones than of the values
    const std::vector<std::uint16_t> short_columns(made.sparse_columns.begin(), made.sparse_columns.end());
    const TiledMatrix columns = made.has_long_columns ? cut_elements(DType::i32, made.sparse_columns, column_cuts)
                                                      : cut_elements(DType::u16, short_columns, column_cuts);
    return {vector_of(made.sparse_ends), columns, cut(dtype, 1, count, made.sparse_values, cuts)};
  }

  template <class T>
  TiledMatrix cut_elements(DType dtype, const std::vector<T>& elements, Cuts cuts) {
    const auto count = static_cast<std::int32_t>(elements.size());
    std::vector<Tile>& tiles = tiles_.emplace_back();
    for (std::int32_t i = 0; i < count; i += cuts.tile_cols) {
      const std::int32_t tile_count = std::min(cuts.tile_cols, count - i);
      const Buffer& memory =
          memory_.emplace_back(uploaded(*backend_, elements.data() + i, static_cast<std::size_t>(tile_count) * sizeof(T)));
      tiles.push_back({memory.data(), 0, 1, i, tile_count});
    }
    return {tiles.data(), static_cast<std::int32_t>(tiles.size()), 1, count, dtype};
  }

  TiledMatrix cut(DType dtype, std::int32_t rows, std::int32_t cols, const std::vector<float>& values, Cuts cuts) {
    std::vector<Tile>& tiles = tiles_.emplace_back();
    for (std::int32_t row = 0; row < rows; row += cuts.tile_rows) {
      for (std::int32_t col = 0; col < cols; col += cuts.tile_cols) {
        const std::int32_t row_count = std::min(cuts.tile_rows, rows - row);
        const std::int32_t col_count = std::min(cuts.tile_cols, cols - col);
        const std::size_t element = bytes_of(dtype);
        std::vector<std::byte> stored(static_cast<std::size_t>(row_count * col_count) * element);
        for (std::int32_t r = 0; r < row_count; ++r) {
          convert_from_float(stored.data() + static_cast<std::size_t>(r * col_count) * element, dtype,
                             values.data() + (row + r) * cols + col, static_cast<std::size_t>(col_count));
        }
        const Buffer& memory = memory_.emplace_back(uploaded(*backend_, stored.data(), stored.size()));
        tiles.push_back({memory.data(), row, row_count, col, col_count});
      }
    }
    return {tiles.data(), static_cast<std::int32_t>(tiles.size()), rows, cols, dtype};
  }

  Backend* backend_;
  std::deque<std::vector<Tile>> tiles_;
  std::deque<Buffer> memory_;
  AdapterView view_;
};

// A pool of pages filled with NaN bits, from which every sequence takes pages in a scattered order.
class MadePool {
 public:
  MadePool(Backend& backend, std::int32_t page_tokens, std::int32_t kv_heads, std::int32_t head_dim, std::int32_t tokens)
      : backend_(&backend), pages_(backend, scattered((tokens + page_tokens - 1) / page_tokens)) {
    const std::size_t side = static_cast<std::size_t>(page_tokens * kv_heads * head_dim) * bytes_of(backend.kv_dtype());
    const std::size_t page_count = pages_.values().size();
    layer_ = {nullptr, (2 * side + 63) / 64 * 64, 0, side, page_tokens, kv_heads, head_dim};
    const std::vector<std::byte> nan(page_count * layer_.page_bytes, std::byte{0xff});
    memory_ = uploaded(backend, nan.data(), nan.size());
    layer_.base = memory_.data();
  }

  [[nodiscard]] const KvLayer& layer() const { return layer_; }
  // A batch of one span: rows at these positions.
  [[nodiscard]] SpanBatch batch(std::int32_t row_begin, std::int32_t row_count, std::int32_t position_begin) {
    return batch({{row_begin, row_count, position_begin, 0, static_cast<std::int32_t>(pages_.values().size())}});
  }
  // Valid until the next call.
  [[nodiscard]] SpanBatch batch(const std::vector<SpanView>& spans) {
    spans_.emplace(*backend_, spans);
    return {*spans_, pages_};
  }

 private:
  static std::vector<PageIndex> scattered(std::int32_t count) {
    std::vector<PageIndex> pages;
    for (std::int32_t i = count; i > 0; --i) pages.push_back({static_cast<std::uint32_t>(i - 1)});
    return pages;
  }

  Backend* backend_;
  KvLayer layer_;
  Buffer memory_;
  OnDevice<PageIndex> pages_;
  std::optional<OnDevice<SpanView>> spans_;
};

}  // namespace slora::testing
