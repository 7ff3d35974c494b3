#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "backend/expert_groups.h"
#include "backend/forwarding_backend.h"
#include "base/check.h"
#include "bench/adapter_product.h"

namespace slora::bench {
namespace {

// The padded batch has records of one site, under the first index.
constexpr Site kPaddedSite{0, SiteKind::qkv};
constexpr std::size_t kCacheLine = 64;

// One factor of one record: where it lies, and where its padded copy goes.
struct FactorCopy {
  const TiledMatrix* from;
  std::byte* to;      // [rows, from->cols], contiguous
  std::int32_t rows;  // stored rows of the copy, at least those of `from`

  [[nodiscard]] std::size_t row_bytes() const { return static_cast<std::size_t>(from->cols) * bytes_of(from->dtype); }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(rows) * row_bytes(); }

  void run() const {
    const std::size_t width = row_bytes();
    for (const Tile& tile : *from) {
      const std::size_t run = static_cast<std::size_t>(tile.col_count) * bytes_of(from->dtype);
      std::byte* out =
          to + static_cast<std::size_t>(tile.row_begin) * width + static_cast<std::size_t>(tile.col_begin) * bytes_of(from->dtype);
      for (std::int32_t row = 0; row < tile.row_count; ++row, out += width)
        std::memcpy(out, tile.data + static_cast<std::size_t>(row) * run, run);
    }
    const std::size_t own = static_cast<std::size_t>(from->rows) * width;
    std::memset(to + own, 0, bytes() - own);
  }
};

// Owned by its backend, used by the engine thread. Its buffers grow to the largest batch and are then reused.
class PaddedOps final : public ForwardingOps {
 public:
  explicit PaddedOps(Backend& inner) : ForwardingOps(inner.ops()), backend_(inner) {}

  // The model's z has no columns for the padded ranks; these have their own.
  void shrink(Tensor, Tensor x, const AdapterBatch& adapters, Site site) override {
    gather(adapters, site, RecordUse::shrink);
    z_numbers_.resize(std::max(z_numbers_.size(), static_cast<std::size_t>(x.rows * batch_.z_cols)));
    z_ = {reinterpret_cast<std::byte*>(z_numbers_.data()), DType::f32, x.rows, batch_.z_cols, batch_.z_cols};
    inner_.shrink(z_, x, batch_, kPaddedSite);
  }

  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor, const AdapterBatch& adapters, Site site) override {
    gather(adapters, site, RecordUse::expand);
    inner_.linear(y, x, weight, z_, batch_, kPaddedSite);
  }

  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    gather(adapters, site, RecordUse::expand);
    inner_.linear_gated(out, x, weight, z_, batch_, kPaddedSite, activation);
  }

  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    expert_groups_.run(*this, out, x, experts, adapters, layer, activation);
  }

 private:
  // Fills batch_ with views of padded copies of A (shrink) or B (expand).
  void gather(const AdapterBatch& adapters, Site site, RecordUse use) {
    std::int32_t rank_max = 0;
    const std::span<const AdapterSegment> segments = adapters.segments.on_device();
    for (const AdapterSegment& segment : segments)
      for (const RecordView& record : segment.adapter->at(site)) rank_max = std::max(rank_max, record.rank);
    while (views_.size() < segments.size()) views_.emplace_back().sites.resize(site_count(1));
    copies_.clear();
    segments_.clear();
    batch_.z_cols = 0;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      AdapterSegment padded = segments[i];
      const std::span<const RecordView> records = padded.adapter->at(site);
      pad(views_[i], records, rank_max, use);
      padded.adapter = &views_[i];
      // The components of a blend have the same rows, and so columns of their own.
      const bool overlaps = !segments_.empty() && padded.row_begin < segments_.back().row_begin + segments_.back().row_count;
      padded.z_begin = overlaps ? z_end_ : 0;
      z_end_ = padded.z_begin + views_[i].sites.front().z_cols;
      batch_.z_cols = std::max(batch_.z_cols, z_end_);
      segments_.push_back(padded);
    }
    batch_.segments = segments_;
    copy_factors();
  }

  // The records with their factors in tiles that are not placed yet.
  void pad(AdapterView& view, std::span<const RecordView> records, std::int32_t rank_max, RecordUse use) {
    const std::int32_t interleave = backend_.adapter_format().b_interleave;
    view.records.assign(records.begin(), records.end());
    view.tiles.resize(records.size());
    std::int32_t z_cols = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      RecordView& record = view.records[i];
      check(record.z_shard == 0, "expected a model in one piece");
      record.a = record.b = {};
      if (record.rank == 0) continue;
      const TiledMatrix& factor = use == RecordUse::shrink ? records[i].a : records[i].b;
      const std::int32_t rows = use == RecordUse::shrink ? rank_max : (rank_max + interleave - 1) / interleave;
      view.tiles[i] = {.data = nullptr, .row_begin = 0, .row_count = rows, .col_begin = 0, .col_count = factor.cols};
      (use == RecordUse::shrink ? record.a : record.b) = {&view.tiles[i], 1, rows, factor.cols, factor.dtype};
      record.rank = rank_max;
      record.z_begin = z_cols;
      z_cols += rank_max;
      copies_.push_back({{&factor, nullptr, rows}, &view.tiles[i]});
    }
    view.sites.front() = {.begin = 0, .count = static_cast<std::int32_t>(records.size()), .z_cols = z_cols};
  }

  void copy_factors() {
    std::size_t bytes = 0;
    for (const PlannedCopy& planned : copies_) bytes += rounded(planned.copy.bytes());
    if (bytes > buffer_.bytes()) buffer_ = backend_.allocate(bytes);
    std::byte* to = buffer_.data();
    for (PlannedCopy& planned : copies_) {
      planned.copy.to = to;
      planned.tile->data = to;
      to += rounded(planned.copy.bytes());
    }
    const auto run = [this](std::int64_t index) { copies_[static_cast<std::size_t>(index)].copy.run(); };
    backend_.parallel_for(static_cast<std::int64_t>(copies_.size()), std::cref(run));
  }
  static std::size_t rounded(std::size_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

  struct PlannedCopy {
    FactorCopy copy;
    Tile* tile;  // of the padded view
  };

  Backend& backend_;
  ExpertGroups expert_groups_;
  Buffer buffer_;                   // copies of A during a shrink, of B during a product
  std::vector<AdapterView> views_;  // [segments] with the copies; never fewer than before
  std::vector<AdapterSegment> segments_;
  std::vector<PlannedCopy> copies_;
  AdapterBatch batch_;
  std::int32_t z_end_ = 0;        // of the latest segment's columns
  std::vector<float> z_numbers_;  // what z_ points into
  Tensor z_;                      // [T, z columns] fp32, of the latest shrink
};

class PaddedBackend final : public ForwardingBackend {
 public:
  explicit PaddedBackend(std::unique_ptr<Backend> inner) : ForwardingBackend(std::move(inner)), ops_(ForwardingBackend::inner()) {}

  std::string description() const override { return inner().description() + ", adapters copied and padded"; }
  Ops& ops() override { return ops_; }

 private:
  PaddedOps ops_;
};

}  // namespace

std::unique_ptr<Backend> make_padded_backend(std::unique_ptr<Backend> inner) { return std::make_unique<PaddedBackend>(std::move(inner)); }

}  // namespace slora::bench
