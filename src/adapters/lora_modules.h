#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// A module that a LoRA file changes, before a base is known: its path as in the base, its shapes from the file.
struct AdapterModule {
  std::string path;                // "model.layers.0.self_attn.q_proj"
  std::vector<AdapterPart> parts;  // at most one of a kind, in the order of the file; not yet sliced
  std::int64_t rank = 0;           // 0: only a bias
  std::int64_t in = 0;             // 0: only a bias
  std::int64_t out = 0;
  float scale = 1;

  [[nodiscard]] const AdapterPart* find(PartKind kind) const { return find_part(parts, kind); }
};

struct AdapterModules {
  std::vector<AdapterModule> modules;  // in the order of the file
  std::vector<std::string> warnings;
};

// Groups the tensors of a PEFT LoRA file by module, from config and header alone. An adapter with a tensor that is no known part is
// refused: E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<AdapterModules> read_lora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                    std::int64_t rank_max);

}  // namespace slora
