#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_record.h"

namespace slora {

// A tensor that a part is derived from together with others of the file: the first of them stands for the part in AdapterModule::parts.
struct PartPiece {
  PartKind kind = PartKind::a;
  std::uint8_t piece = 0;  // from 1 on
  SourceTensor source;
};

// A module that an adapter file changes, before a base is known: its path as in the base, its shapes from the file.
struct AdapterModule {
  std::string path;                // "model.layers.0.self_attn.q_proj"
  std::vector<AdapterPart> parts;  // at most one of a kind, in the order of the file; not yet sliced
  std::vector<PartPiece> pieces;   // the further tensors that parts are derived from
  std::int64_t rank = 0;           // 0: no A and B
  std::int64_t stored_rank = 0;    // as the file and its config call it; 0: the same
  std::int64_t in = 0;             // 0: the file does not tell
  std::int64_t out = 0;
  std::int64_t row_count = 0;                  // of rows that replace the base's
  std::int64_t in_of_rows = 0;                 // their columns
  std::int64_t added_count = 0;                // of rows of tokens after the base's
  bool is_saved_weight = false;                // the file has a weight of it: a norm's gain, or rows
  bool saves_gain = false;                     // its gain is a weight of the file, not one that multiplies what the base computes
  std::int32_t embedding_part_count = 0;       // parts that only an embedding has
  std::vector<ElementRange> shard_elements{};  // of S, as in AdapterRecord; empty where no base is known
  std::int64_t element_count = 0;              // of S
  float scale = 1;
  LowRank low_rank = LowRank::sum;

  [[nodiscard]] const AdapterPart* find(PartKind kind) const { return find_part(parts, kind); }
};

struct AdapterModules {
  std::vector<AdapterModule> modules;  // in the order of the file
  std::vector<std::shared_ptr<const DerivedTensor>> derived;
  std::vector<std::string> warnings;

  // Adds a derived tensor to those of a file of `file_count` tensors.
  SourceTensor derive(std::size_t file_count, std::shared_ptr<const DerivedTensor> tensor) {
    derived.push_back(std::move(tensor));
    return {static_cast<std::uint32_t>(file_count + derived.size() - 1)};
  }
};

}  // namespace slora
