#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "ops/site.h"
#include "tensor/dtype.h"

namespace slora {

// A tensor of an adapter's file: index into its header's list, in the order of the bytes.
using SourceTensor = Id<struct SourceTensorTag, std::uint32_t>;

// What a tensor of an adapter's file is to the linear module that it changes. Importers, image layout, image writer and the loader's
// view all use this one list; docs/add_an_adapter_family.md lists what a new kind needs.
enum class PartKind : std::uint8_t {
  a,               // [rank, in]
  b,               // [out, rank]
  bias_added,      // [out]: scaled like B and added to the base's bias
  bias_replacing,  // [out]: used instead of the base's bias
};

// The block of a source tensor that an image holds: the whole tensor, or what belongs to one shard. A vector is one row.
struct SourceSlice {
  std::int32_t row_begin = 0, row_count = 0;
  std::int32_t col_begin = 0, col_count = 0;
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
  SourceSlice slice;    // set when the base's shapes have been checked
  StoredMatrix stored;  // set by make_image_layout
};

// The part of this kind, or nullptr.
[[nodiscard]] inline const AdapterPart* find_part(std::span<const AdapterPart> parts, PartKind kind) {
  for (const AdapterPart& part : parts) {
    if (part.kind == kind) return &part;
  }
  return nullptr;
}

// What an adapter does to one linear module W [out, in] of the base:
//   y = W x + scale * B (A x) + c,  c = scale * bias_added + (bias_replacing, or else the base's bias)
// or the share of it that one shard stores. A part that is missing adds nothing. Plain data, made by an importer and cut by cut_for_shard.
struct AdapterRecord {
  Site site{};
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;
  std::int32_t rank = 0;  // 0: no low-rank part
  float scale = 1;
  std::int32_t module = 0;         // index into the base's module table
  std::int32_t z_shard = 0;        // the shard that computes A x; set with z_begin by cut_for_shard
  std::int32_t z_begin = 0;        // first column of A x among that shard's at this site
  std::vector<AdapterPart> parts;  // at most one of a kind, ordered by kind

  [[nodiscard]] const AdapterPart* find(PartKind kind) const { return find_part(parts, kind); }
};

// What an importer found in a folder without reading a weight.
struct AdapterPlan {
  std::vector<AdapterRecord> records;  // ordered by (site, slice_begin), one per module
  std::vector<std::string> warnings;
};

}  // namespace slora
