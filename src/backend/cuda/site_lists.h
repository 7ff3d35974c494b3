#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/op_args.h"
#include "kernels/cuda/lora_args.h"

namespace slora::cuda {

// A part of an array.
struct ListPart {
  std::size_t begin = 0, count = 0;
};

// Makes the lists of shrink and expand for one site after another, from the segments and runs of a batch. All sites have their parts in
// the same arrays. Owned by WorkLists; it keeps its memory.
class SiteLists {
 public:
  // Of one site: which items, and how the matrices that they name lie in memory.
  struct Site {
    ListPart shrink_items, expand_items;
    MatrixAlignment shrink_alignment = MatrixAlignment::sixteen_bytes;
    MatrixAlignment expand_alignment = MatrixAlignment::sixteen_bytes;
  };

  struct Arrays {
    std::vector<MatrixPiece> pieces;
    std::vector<ShrinkRecord> shrink_records;
    std::vector<ShrinkItem> shrink_items;
    std::vector<ExpandRecord> expand_records;
    std::vector<ExpandUse> expand_uses;
    std::vector<ExpandItem> expand_items;
  };

  void clear();
  [[nodiscard]] Site add(const AdapterBatch& adapters, slora::Site site);
  [[nodiscard]] const Arrays& arrays() const { return arrays_; }

 private:
  void add_shrink(const RecordView& record, std::int32_t z_begin, Site& site);
  // Of the segment's records, which are those from `first_record` on.
  void add_shrink_items(const AdapterSegment& segment, std::size_t first_record);
  void add_expand(const RecordView& record, std::int32_t z_begin, Site& site);
  // Returns the first of them.
  std::int32_t add_pieces(const TiledMatrix& matrix);

  Arrays arrays_;
  std::vector<ListPart> records_of_;  // [segments] of the site: parts of expand_records
};

}  // namespace slora::cuda
