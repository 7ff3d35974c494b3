#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <source_location>
#include <utility>
#include <vector>

#include "backend/expert_groups.h"
#include "backend/forwarding_backend.h"
#include "base/check.h"
#include "base/clock.h"
#include "bench/adapter_product.h"

namespace slora::bench {
namespace {

constexpr Site kMergingSite{0, SiteKind::qkv};    // of the one record that is being added
constexpr std::int64_t kBlockElements = 1 << 17;  // of W that are merged at once: some stay in each core's cache
constexpr std::int64_t kBlockRowsMax = 256;
constexpr std::int64_t kItemRows = 32;  // that one thread rounds and packs
constexpr std::int64_t kNoInputs = 2;   // columns of the weight of zeros

// Element [row, col] of a matrix in tiles.
float element_of(const TiledMatrix& matrix, std::int64_t row, std::int64_t col) {
  for (const Tile& tile : matrix) {
    const std::int64_t r = row - tile.row_begin, c = col - tile.col_begin;
    if (r < 0 || r >= tile.row_count || c < 0 || c >= tile.col_count) continue;
    float value = 0;
    const auto bytes = static_cast<std::int64_t>(bytes_of(matrix.dtype));
    convert_to_float(&value, tile.data + (r * tile.col_count + c) * bytes, matrix.dtype, 1);
    return value;
  }
  fail_check("expected tiles that cover their matrix", std::source_location::current());
}

// Computes W + scale * B A of single modules into the packed rows of another weight. The product B A is the backend's own expand of an
// adapter whose B is A and whose shrink results are the rows of B: exact products, fp32 sums, all threads.
class Merger {
 public:
  explicit Merger(Backend& backend) : backend_(backend) { view_.sites.resize(site_count(1)); }

  // Rows [begin, begin + count) of `to` become those of `from`, plus what `record` adds, if it has a low-rank part; null: it adds nothing.
  void write(LinearWeight& to, const LinearWeight& from, std::int64_t begin, std::int64_t count, const RecordView* record) {
    const bool adds = record != nullptr && record->rank > 0;
    if (adds) set_factor(*record);
    const std::int64_t block = std::clamp(kBlockElements / from.in / kItemRows * kItemRows, kItemRows, kBlockRowsMax);
    for (std::int64_t row = 0; row < count; row += block) {
      const std::int64_t rows = std::min(block, count - row);
      const Tensor sum = take(rows_, rows, from.in);
      ids_.resize(static_cast<std::size_t>(rows));
      std::iota(ids_.begin(), ids_.end(), static_cast<TokenId>(begin + row));
      backend_.ops().embed(sum, ids_, nullptr, from, 0);  // rows of W in fp32
      const Tensor delta = adds ? product(*record, row, rows, from.in) : Tensor{};
      pack(to, begin + row, sum, delta, adds ? record->scale : 0);
    }
  }

 private:
  static Tensor take(std::vector<float>& numbers, std::int64_t rows, std::int64_t cols) {
    numbers.resize(std::max(numbers.size(), static_cast<std::size_t>(rows * cols)));
    return {reinterpret_cast<std::byte*>(numbers.data()), DType::f32, rows, cols, cols};
  }

  // A [rank, in] becomes the B of view_: interleaved as the backend wants it, in one tile.
  void set_factor(const RecordView& record) {
    const AdapterFormat format = backend_.adapter_format();
    const std::int64_t interleave = format.b_interleave, in = record.in;
    const std::int64_t stored_rows = (record.rank + interleave - 1) / interleave, width = in * interleave;
    const std::size_t size = bytes_of(format.dtype);
    factor_.assign(static_cast<std::size_t>(stored_rows * width) * size, std::byte{0});
    for (const Tile& tile : record.a) {
      const std::byte* from = tile.data;
      for (std::int64_t rank = tile.row_begin; rank < tile.row_begin + tile.row_count; ++rank) {
        std::byte* to =
            factor_.data() + static_cast<std::size_t>(rank / interleave * width + tile.col_begin * interleave + rank % interleave) * size;
        for (std::int32_t col = 0; col < tile.col_count; ++col, from += size, to += size * static_cast<std::size_t>(interleave))
          std::memcpy(to, from, size);
      }
    }
    tile_ = {factor_.data(), 0, static_cast<std::int32_t>(stored_rows), 0, static_cast<std::int32_t>(width)};
    RecordView added;
    added.out = record.in;
    added.in = kNoInputs;
    added.rank = record.rank;
    added.scale = 1;
    added.b = {&tile_, 1, tile_.row_count, tile_.col_count, format.dtype};
    view_.records = {added};
    view_.sites.front() = {.begin = 0, .count = 1, .z_cols = record.rank};
  }

  // Rows [begin, begin + rows) of B A, of the record's module.
  Tensor product(const RecordView& record, std::int64_t begin, std::int64_t rows, std::int64_t in) {
    const Tensor z = take(z_, rows, record.rank);
    const std::int64_t interleave = backend_.adapter_format().b_interleave;
    const auto read = [&](std::int64_t row) {
      for (std::int64_t rank = 0; rank < record.rank; ++rank)
        z.row<float>(row)[rank] = element_of(record.b, rank / interleave, (begin + row) * interleave + rank % interleave);
    };
    backend_.parallel_for(rows, std::cref(read));
    const DType x_dtype = backend_.product_dtype();
    x_.resize(std::max(x_.size(), static_cast<std::size_t>(rows * kNoInputs) * bytes_of(x_dtype)));
    const Tensor x{x_.data(), x_dtype, rows, kNoInputs, kNoInputs};
    const AdapterSegment segment{0, static_cast<std::int32_t>(rows), 0, 1.0f, &view_};
    const Tensor delta = take(delta_, rows, in);
    backend_.ops().linear(delta, x, zeros(in), z, {.segments = std::span(&segment, 1), .z_cols = record.rank}, kMergingSite);
    return delta;
  }

  const LinearWeight& zeros(std::int64_t out) {
    const auto known = zeros_.find(out);
    if (known != zeros_.end()) return known->second;
    LinearWeight& weight = zeros_.emplace(out, backend_.make_linear(out, kNoInputs)).first->second;
    std::vector<float> numbers;
    backend_.pack_rows(weight, 0, take(numbers, out, kNoInputs));
    return weight;
  }

  // Rounds sum + scale * delta; without columns of delta, sum.
  void pack(LinearWeight& to, std::int64_t row_begin, Tensor sum, Tensor delta, float scale) {
    const auto run = [&](std::int64_t item) {
      const std::int64_t begin = item * kItemRows, count = std::min(kItemRows, sum.rows - begin);
      for (std::int64_t row = begin; delta.cols > 0 && row < begin + count; ++row) {
        float* out = sum.row<float>(row);
        const float* added = delta.row<float>(row);
        for (std::int64_t col = 0; col < sum.cols; ++col) out[col] += scale * added[col];
      }
      backend_.pack_rows(to, row_begin + begin, sum.rows_from(begin, count));
    };
    backend_.parallel_for((sum.rows + kItemRows - 1) / kItemRows, std::cref(run));
  }

  Backend& backend_;
  AdapterView view_;
  Tile tile_{};
  std::vector<std::byte> factor_, x_;           // x stays zero
  std::vector<float> rows_, delta_, z_;         // [block, in], [block, in], [block, rank]
  std::vector<TokenId> ids_;                    // [block]
  std::map<std::int64_t, LinearWeight> zeros_;  // [in, kNoInputs] by `in`
};

// Owned by its backend, used by the engine thread. Allocates when a site is merged for the first time.
class MergedOps final : public ForwardingOps {
 public:
  MergedOps(Backend& inner, MergeCounts& counts) : ForwardingOps(inner.ops()), backend_(inner), merger_(inner), counts_(counts) {}

  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override {
    if (site.kind == SiteKind::head) inner_.shrink(z, x, adapters, site);
  }

  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    if (site.kind == SiteKind::head) return inner_.linear(y, x, weight, z, adapters, site);
    for_each_run(x.rows, adapters, [&](std::int64_t begin, std::int64_t count, const AdapterView* adapter) {
      inner_.linear(y.rows_from(begin, count), x.rows_from(begin, count), weight_for(adapter, weight, site), {}, {}, site);
    });
  }

  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    for_each_run(x.rows, adapters, [&](std::int64_t begin, std::int64_t count, const AdapterView* adapter) {
      inner_.linear_gated(out.rows_from(begin, count), x.rows_from(begin, count), weight_for(adapter, weight, site), {}, {}, site,
                          activation);
    });
  }

  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    expert_groups_.run(*this, out, x, experts, adapters, layer, activation);
  }

 private:
  // Of a module, among the outputs of its site.
  struct Columns {
    std::int32_t begin, count;
    bool operator==(const Columns&) const = default;
  };
  struct Merged {
    AdapterId adapter = kNoAdapter;  // whose; kNoAdapter: nobody's, and to be written anew
    LinearWeight weight;
    std::vector<Columns> changed;  // the modules that are not the base's
  };

  // Calls run(row_begin, row_count, adapter) for all rows in order; the adapter is null where they are in no segment.
  template <class Run>
  static void for_each_run(std::int64_t rows, const AdapterBatch& adapters, Run&& run) {
    std::int64_t begin = 0;
    for (const AdapterSegment& segment : adapters.segments.on_device()) {
      check(segment.row_begin >= begin && segment.weight == 1, "expected one adapter for a row, and no blends");
      if (segment.row_begin > begin) run(begin, segment.row_begin - begin, nullptr);
      run(segment.row_begin, segment.row_count, segment.adapter);
      begin = segment.row_begin + segment.row_count;
    }
    if (begin < rows) run(begin, rows - begin, nullptr);
  }

  const LinearWeight& weight_for(const AdapterView* adapter, const LinearWeight& base, Site site) {
    if (adapter == nullptr || adapter->at(site).empty()) return base;
    check(adapter->id != kNoAdapter, "expected an adapter with an id");
    Merged& merged = merged_[site];
    if (merged.adapter == adapter->id) return merged.weight;
    if (std::exchange(latest_, adapter->id) != adapter->id) ++counts_.switches;
    const SteadyClock clock;
    const Timestamp begin = clock.now();
    if (merged.adapter == kNoAdapter) copy_base(merged, base);
    merged.adapter = kNoAdapter;  // until it is whole: an exception leaves a mixture
    merge(merged, base, adapter->at(site));
    merged.adapter = adapter->id;
    counts_.nanoseconds += (clock.now() - begin).count();
    return merged.weight;
  }

  void copy_base(Merged& merged, const LinearWeight& base) {
    merged.changed.clear();
    if (merged.weight.out == 0) {
      merged.weight = base.fine_rows > 0 ? backend_.make_mixed(base.out, base.in, base.fine_rows) : backend_.make_linear(base.out, base.in);
      counts_.weight_bytes += merged.weight.packed.bytes();
    }
    merger_.write(merged.weight, base, 0, base.out, nullptr);
  }

  void merge(Merged& merged, const LinearWeight& base, std::span<const RecordView> records) {
    bias_.resize(static_cast<std::size_t>(base.bias.count));
    if (!bias_.empty()) backend_.download(bias_.data(), base.bias.view());
    for (const Columns& columns : merged.changed) {
      const auto covers = [&](const RecordView& record) { return record.rank > 0 && Columns{record.slice_begin, record.out} == columns; };
      if (std::ranges::none_of(records, covers)) merger_.write(merged.weight, base, columns.begin, columns.count, nullptr);
    }
    merged.changed.clear();
    for (const RecordView& record : records) {
      check(record.z_shard == 0, "expected a model in one piece");
      if (record.rank > 0) {
        merger_.write(merged.weight, base, record.slice_begin, record.out, &record);
        merged.changed.push_back({record.slice_begin, record.out});
      }
      if (record.bias != nullptr) add_bias(base.out, record);
    }
    if (std::cmp_not_equal(merged.weight.bias.count, bias_.size())) {
      merged.weight.bias = backend_.make_vector(bias_);
    } else if (!bias_.empty()) {
      backend_.upload(merged.weight.bias.view(), bias_.data());
    }
  }

  void add_bias(std::int64_t out, const RecordView& record) {
    bias_.resize(static_cast<std::size_t>(out));
    for (std::int32_t i = 0; i < record.out; ++i) {
      float& bias = bias_[static_cast<std::size_t>(record.slice_begin + i)];
      bias = record.bias[i] + (record.bias_mode == BiasMode::add ? bias : 0);
    }
  }

  Backend& backend_;
  ExpertGroups expert_groups_;
  Merger merger_;
  MergeCounts& counts_;
  std::map<Site, Merged> merged_;
  std::vector<float> bias_;  // [out] of the weight that is being merged, or empty
  AdapterId latest_ = kNoAdapter;
};

class MergedBackend final : public ForwardingBackend {
 public:
  MergedBackend(std::unique_ptr<Backend> inner, MergeCounts& counts)
      : ForwardingBackend(std::move(inner)), ops_(ForwardingBackend::inner(), counts) {}

  std::string description() const override { return inner().description() + ", one adapter merged at a time"; }
  Ops& ops() override { return ops_; }

 private:
  MergedOps ops_;
};

}  // namespace

std::unique_ptr<Backend> make_merged_backend(std::unique_ptr<Backend> inner, MergeCounts& counts) {
  return std::make_unique<MergedBackend>(std::move(inner), counts);
}

}  // namespace slora::bench
