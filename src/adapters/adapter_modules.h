#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter_record.h"

namespace slora {

// A module that an adapter file changes, before a base is known: its path as in the base, its shapes from the file.
struct AdapterModule {
  std::string path;                // "model.layers.0.self_attn.q_proj"
  std::vector<AdapterPart> parts;  // at most one of a kind, in the order of the file; not yet sliced
  std::int64_t rank = 0;           // 0: no A and B
  std::int64_t in = 0;             // 0: the file does not tell
  std::int64_t out = 0;
  float scale = 1;
  LowRank low_rank = LowRank::sum;

  [[nodiscard]] const AdapterPart* find(PartKind kind) const { return find_part(parts, kind); }
};

struct AdapterModules {
  std::vector<AdapterModule> modules;  // in the order of the file
  std::vector<std::shared_ptr<const DerivedTensor>> derived;
  std::vector<std::string> warnings;
};

}  // namespace slora
