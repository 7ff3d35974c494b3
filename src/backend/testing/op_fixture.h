#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "backend/backend.h"

// What the tests of Ops share: every backend with every instruction set, random numbers, and matrices that own their memory.
namespace slora::testing {

struct Variant {
  const char* label;
  const char* backend;
  Instructions instructions = Instructions::best;
  int threads = 2;
  WeightStorage weights = WeightStorage::bf16;
};

inline std::vector<Variant> every_variant() {
  return {{"reference", "reference"},
          {"cpu_best", "cpu"},
          {"cpu_avx512", "cpu", Instructions::avx512},
          {"cpu_avx2", "cpu", Instructions::avx2},
          {"cpu_portable", "cpu", Instructions::portable}};
}

// Those that store weights as int8; their products are compared with a formula of their own.
inline std::vector<Variant> int8_variants() {
  return {{"int8_best", "cpu", Instructions::best, 2, WeightStorage::int8},
          {"int8_avx512", "cpu", Instructions::avx512, 2, WeightStorage::int8},
          {"int8_avx2", "cpu", Instructions::avx2, 2, WeightStorage::int8},
          {"int8_portable", "cpu", Instructions::portable, 2, WeightStorage::int8}};
}

inline std::unique_ptr<Backend> open(const Variant& variant) {
  Result<std::unique_ptr<Backend>> backend = create_backend(
      variant.backend, BackendOptions{.threads = variant.threads, .instructions = variant.instructions, .weights = variant.weights});
  EXPECT_TRUE(backend.has_value());
  return std::move(*backend);
}

// Numbers that bf16 holds exactly, so that storage rounds nothing and only the arithmetic is compared.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : random_(seed) {}
  float next() { return to_float(to_bfloat16(std::uniform_real_distribution<float>(-1, 1)(random_))); }
  std::vector<float> vector(std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& value : out) value = next();
    return out;
  }

 private:
  std::mt19937_64 random_;
};

// A tensor with its memory, each row followed by a gap of NaN bits that nobody may read.
class Matrix {
 public:
  Matrix(DType dtype, std::int64_t rows, std::int64_t cols) {
    constexpr std::int64_t kGap = 8;
    memory_ = Buffer(static_cast<std::size_t>((rows + 1) * (cols + kGap)) * bytes_of(dtype));
    std::memset(memory_.data(), 0xff, memory_.bytes());
    tensor_ = {memory_.data(), dtype, rows, cols, cols + kGap};
  }
  Matrix(DType dtype, std::int64_t rows, std::int64_t cols, const std::vector<float>& values) : Matrix(dtype, rows, cols) {
    for (std::int64_t row = 0; row < rows; ++row) {
      convert_from_float(tensor_.row_bytes(row), dtype, values.data() + row * cols, static_cast<std::size_t>(cols));
    }
  }

  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  operator Tensor() const { return tensor_; }  // NOLINT: implicit, as the argument of an op

 private:
  Buffer memory_;
  Tensor tensor_;
};

inline std::vector<float> values_of(Tensor tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.rows * tensor.cols));
  for (std::int64_t row = 0; row < tensor.rows; ++row) {
    convert_to_float(out.data() + row * tensor.cols, tensor.row_bytes(row), tensor.dtype, static_cast<std::size_t>(tensor.cols));
  }
  return out;
}

inline bool same_bits(Tensor a, Tensor b) {
  bool same = a.rows == b.rows && a.cols == b.cols && a.dtype == b.dtype;
  for (std::int64_t row = 0; same && row < a.rows; ++row) {
    same = std::memcmp(a.row_bytes(row), b.row_bytes(row), static_cast<std::size_t>(a.cols) * bytes_of(a.dtype)) == 0;
  }
  return same;
}

// The norm of the difference divided by the norm of the expected values. NaN counts as infinite.
inline double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0;
  double norm = 1e-30;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::isnan(difference) ? INFINITY : std::sqrt(difference / norm);
}

inline LinearWeight pack(Backend& backend, std::int64_t out, std::int64_t in, const std::vector<float>& values, DType file_dtype) {
  LinearWeight weight = backend.make_linear(out, in);
  const Matrix rows(file_dtype, out, in, values);
  const std::int64_t half = out / 2;
  backend.pack_rows(weight, half, rows.tensor().rows_from(half, out - half));  // in any order
  backend.pack_rows(weight, 0, rows.tensor().rows_from(0, half));
  return weight;
}

// How the matrices of an adapter are divided into tiles.
struct Cuts {
  std::int32_t tile_rows = 1000;
  std::int32_t tile_cols = 1 << 20;  // stored elements
};

// One module of a random adapter; a [rank, in] and b [rank, out] row by row.
struct MadeRecord {
  std::int32_t slice_begin, out, in, rank;
  float scale;
  std::vector<float> a, b, bias;
  BiasMode bias_mode = BiasMode::add;
};

inline MadeRecord make_record(Numbers& numbers, std::int32_t slice_begin, std::int32_t out, std::int32_t in, std::int32_t rank) {
  return {slice_begin, out, in, rank, 0.5f, numbers.vector(rank * in), numbers.vector(rank * out), {}, BiasMode::add};
}

// An adapter of one site as a loader would lay it out for a backend. Each tile is an allocation of its own, so that sanitizers notice reads
// beyond its end.
class MadeAdapter {
 public:
  MadeAdapter(AdapterFormat format, Site site, const std::vector<MadeRecord>& records, Cuts cuts, AdapterId id = kNoAdapter)
      : records_(records) {
    view_.id = id;
    view_.sites.resize(site_count(site.layer + 1));
    auto& range = view_.sites[index_of(site)];
    for (const MadeRecord& made : records_) {
      RecordView record{.slice_begin = made.slice_begin,
                        .out = made.out,
                        .in = made.in,
                        .rank = made.rank,
                        .z_begin = range.z_cols,
                        .scale = made.scale,
                        .a = {},
                        .b = {},
                        .bias = made.bias.empty() ? nullptr : made.bias.data(),
                        .bias_mode = made.bias_mode};
      record.a = cut(format.dtype, made.rank, made.in, made.a, cuts);
      const std::int32_t interleave = format.b_interleave;
      record.b = cut(format.dtype, (made.rank + interleave - 1) / interleave, made.out * interleave, interleaved(made, interleave), cuts);
      view_.records.push_back(record);
      range.z_cols += made.rank;
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

  TiledMatrix cut(DType dtype, std::int32_t rows, std::int32_t cols, const std::vector<float>& values, Cuts cuts) {
    std::vector<Tile>& tiles = tiles_.emplace_back();
    for (std::int32_t row = 0; row < rows; row += cuts.tile_rows) {
      for (std::int32_t col = 0; col < cols; col += cuts.tile_cols) {
        const std::int32_t row_count = std::min(cuts.tile_rows, rows - row);
        const std::int32_t col_count = std::min(cuts.tile_cols, cols - col);
        const std::size_t element = bytes_of(dtype);
        auto& memory = memory_.emplace_back(static_cast<std::size_t>(row_count * col_count) * element);
        for (std::int32_t r = 0; r < row_count; ++r) {
          convert_from_float(memory.data() + static_cast<std::size_t>(r * col_count) * element, dtype,
                             values.data() + (row + r) * cols + col, static_cast<std::size_t>(col_count));
        }
        tiles.push_back({memory.data(), row, row_count, col, col_count});
      }
    }
    return {tiles.data(), static_cast<std::int32_t>(tiles.size()), rows, cols, dtype};
  }

  std::vector<MadeRecord> records_;
  std::deque<std::vector<Tile>> tiles_;
  std::deque<std::vector<std::byte>> memory_;
  AdapterView view_;
};

// A pool of pages filled with NaN bits, from which every sequence takes pages in a scattered order.
class MadePool {
 public:
  MadePool(const Backend& backend, std::int32_t page_tokens, std::int32_t kv_heads, std::int32_t head_dim, std::int32_t tokens) {
    const std::size_t side = static_cast<std::size_t>(page_tokens * kv_heads * head_dim) * bytes_of(backend.kv_dtype());
    const auto page_count = static_cast<std::uint32_t>((tokens + page_tokens - 1) / page_tokens);
    layer_ = {nullptr, (2 * side + 63) / 64 * 64, 0, side, page_tokens, kv_heads, head_dim};
    memory_ = Buffer(page_count * layer_.page_bytes);
    std::memset(memory_.data(), 0xff, memory_.bytes());
    layer_.base = memory_.data();
    for (std::uint32_t i = 0; i < page_count; ++i) pages_.push_back({page_count - 1 - i});
  }

  [[nodiscard]] const KvLayer& layer() const { return layer_; }
  // The span of a batch's rows at these positions.
  [[nodiscard]] SpanView span(std::int32_t row_begin, std::int32_t row_count, std::int32_t position_begin) const {
    return {row_begin, row_count, position_begin, pages_};
  }

 private:
  KvLayer layer_;
  Buffer memory_;
  std::vector<PageIndex> pages_;
};

}  // namespace slora::testing
