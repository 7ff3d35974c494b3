#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cuda/adapter_tables.h"
#include "backend/op_args.h"
#include "kernels/cuda/lora_args.h"

namespace slora::cuda {

// A part of an array.
struct ListPart {
  std::size_t begin = 0, count = 0;
};

// Makes the lists of shrink and expand, and of rows that are scaled, for one kind of site after another, from the segments and runs of a
// batch: those of all layers, whose records the tables of the adapters have. All lists are parts of the same arrays. Owned by WorkLists; it
// keeps its memory.
class SiteLists {
 public:
  // Of one kind.
  struct Parts {
    ListPart shrink_items, expand_items, scale_items;
  };
  struct Arrays {
    std::vector<ShrinkItem> shrink_items;
    std::vector<ExpandUse> expand_uses;
    std::vector<ExpandItem> expand_items;
    std::vector<ScaleItem> scale_items;  // those of a row follow each other
  };

  void clear();
  // `expand_items`: and as many uses.
  void reserve(std::size_t shrink_items, std::size_t expand_items);
  // `kind`: index_of() a site in layer 0. Tables that do not exist are made.
  [[nodiscard]] Parts add(const AdapterBatch& adapters, std::size_t kind, AdapterTables& tables);
  [[nodiscard]] const Arrays& arrays() const { return arrays_; }

 private:
  void add_shrink(const AdapterSegment& segment, const AdapterTable::Kind& kind);
  void add_expand(const AdapterBatch& adapters, const AdapterRun& run);
  void add_scaled(const AdapterBatch& adapters, const AdapterRun& run, std::size_t kind, AdapterTables& tables);
  void add_scale_item(ScaleItem item);

  Arrays arrays_;
  std::vector<ExpandUse> uses_;    // [segments] per_layer 0: nothing
  std::int32_t scaled_count_ = 0;  // scaled rows of all kinds
};

}  // namespace slora::cuda
