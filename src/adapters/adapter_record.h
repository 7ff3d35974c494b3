#pragma once
#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/derived_tensor.h"
#include "base/ids.h"
#include "ops/record_view.h"
#include "ops/site.h"
#include "tensor/dtype.h"

namespace slora {

// A tensor of an adapter: index into its file's header, in the order of the bytes; from the file's count on, into the plan's derived
// tensors.
using SourceTensor = Id<struct SourceTensorTag, std::uint32_t>;

// What a tensor of an adapter's file is to the linear module that it changes. Importers, image layout, image writer and the loader's
// view all use this one list; docs/add_an_adapter_family.md lists what a new kind needs.
enum class PartKind : std::uint8_t {
  a,               // [rank, in]
  b,               // [out, rank]
  input_gain,      // [in]: multiplies x before the base's product
  rank_gain,       // [rank]: multiplies A x
  delta_gain,      // [out]: multiplies B (...)
  gain,            // [out]: multiplies everything but the bias
  row_counts,      // [blocks, out]: elements of S in each row; blocks: see SparseTensors
  columns,         // [elements]: of S, row after row; counted from where a shard's inputs begin
  values,          // [elements]: of S
  bias_added,      // [out]: scaled like B and added to the base's bias
  bias_replacing,  // [out]: used instead of the base's bias
  rows,            // [count, in], at the embedding [count, out]: of a weight, used instead of the base's
  row_ids,         // [count]: which these are; all, without it
  added_rows,      // [count, in]: of the head: rows of the first tokens after the base's vocabulary
};

// Elements [begin, begin + count) of a sparse matrix.
struct ElementRange {
  std::int32_t begin = 0, count = 0;
  bool operator==(const ElementRange&) const = default;
};

// The block of a source tensor that an image holds: the whole tensor, or what belongs to one shard. A vector is one row.
struct SourceSlice {
  std::int32_t row_begin = 0, row_count = 0;
  std::int32_t col_begin = 0, col_count = 0;
  auto operator<=>(const SourceSlice&) const = default;
};

// Where a part lies in its source tensor, if that has the parts of several modules: element [i, j] of the part is element
// [row_begin + i, col_begin + j * col_step] of the tensor.
struct SourceOrigin {
  std::int32_t row_begin = 0, col_begin = 0, col_step = 1;
  auto operator<=>(const SourceOrigin&) const = default;
};

// A part as stored in the image: a matrix [rows, cols] in tiles [tile_begin, tile_begin + tile_count) of the layout, ordered by
// (row_begin, col_begin). A vector is one row in one tile.
struct StoredMatrix {
  std::int32_t rows = 0, cols = 0;
  std::int32_t tile_begin = 0, tile_count = 0;
  DType dtype = DType::f32;
};

// One tensor on its way from the file to the kernels: an importer says what it is and where it is read from, make_image_layout where
// it is stored, and the loader turns that into addresses (RecordView).
struct AdapterPart {
  PartKind kind = PartKind::a;
  SourceTensor source;
  SourceSlice slice;            // of the part; set when the base's shapes have been checked
  StoredMatrix stored;          // set by make_image_layout
  bool shares_storage = false;  // set by make_image_layout: a part before it has the same numbers, and they are stored once
  float offset = 0;             // added to each number of a gain, as the base adds it to its own
  SourceOrigin origin{};
  bool is_shared = false;  // other adapters have the same source: A or B of a projection that many use
};

// The part of this kind, or nullptr.
[[nodiscard]] inline const AdapterPart* find_part(std::span<const AdapterPart> parts, PartKind kind) {
  for (const AdapterPart& part : parts) {
    if (part.kind == kind) return &part;
  }
  return nullptr;
}

inline constexpr std::int32_t kNoModule = -1;

// What an adapter does to one linear module W [out, in] of the base:
//   y = gain * (W (input_gain * x) + scale * delta_gain * B (rank_gain * (A x)) + S x) + c
//   c = scale * bias_added + (bias_replacing, or else the base's bias)
// or the share of it that one shard stores. Gains multiply element by element; one that is missing is 1, another part that is missing adds
// nothing. With low_rank = hadamard, A and B change the base's product: see LowRank. Plain data, made by an importer and cut by
// cut_for_shard.
struct AdapterRecord {
  Site site{};
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;
  std::int32_t rank = 0;  // 0: no low-rank part
  float scale = 1;
  LowRank low_rank = LowRank::sum;
  std::int32_t module = 0;                     // index into the base's module table; kNoModule at a norm and at the embedding
  std::int32_t z_shard = 0;                    // the shard that computes A x; set with z_begin by cut_for_shard
  std::int32_t z_begin = 0;                    // first column of A x among that shard's at this site
  std::int32_t row_offset = 0;                 // that is subtracted from row_ids: the first output of the shard; set by cut_for_shard
  std::vector<ElementRange> shard_elements{};  // [shards] of S that each shard stores; empty without S
  std::vector<AdapterPart> parts;              // at most one of a kind, ordered by kind

  [[nodiscard]] const AdapterPart* find(PartKind kind) const { return find_part(parts, kind); }
  // Columns of A x.
  [[nodiscard]] std::int32_t z_cols() const { return low_rank == LowRank::sum && site.kind != SiteKind::embedding ? rank : 0; }
  // Whether it leaves what the base computes as it is.
  [[nodiscard]] bool only_adds() const {
    constexpr std::array kOthers = {PartKind::input_gain, PartKind::gain, PartKind::bias_replacing, PartKind::rows, PartKind::added_rows};
    return std::ranges::all_of(kOthers, [&](PartKind kind) { return find(kind) == nullptr; });
  }
  // Whether it does more than add B (A x) and a bias, as RecordView::is_general says of it.
  [[nodiscard]] bool is_general() const {
    return low_rank != LowRank::sum || find(PartKind::input_gain) != nullptr || find(PartKind::delta_gain) != nullptr ||
           find(PartKind::gain) != nullptr || find(PartKind::values) != nullptr || find(PartKind::rows) != nullptr;
  }
};

// What an importer found in a folder without reading a weight.
struct AdapterPlan {
  std::vector<AdapterRecord> records;  // ordered by (site, slice_begin), one per module
  std::vector<std::shared_ptr<const DerivedTensor>> derived;
  std::vector<std::string> warnings;
  std::int32_t added_tokens = 0;  // beyond the base's vocabulary
};

}  // namespace slora
