#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/module_table.h"
#include "formats/safetensors.h"

namespace slora {

// A module that a LoRA file changes, before a base is known: path as in the base, shapes from the file.
struct LoraModule {
  std::string path;  // "model.layers.0.self_attn.q_proj"
  std::optional<SourceTensor> a, b, bias_added, bias_replacing;
  std::int32_t rank = 0;  // 0: only a bias
  float scale = 1;
  std::int64_t in = 0;   // columns of A; 0: only a bias
  std::int64_t out = 0;  // rows of B, or length of the bias
};

struct LoraModules {
  std::vector<LoraModule> modules;  // in the order of the file
  std::vector<std::string> warnings;
};

// Sorts the tensors of a PEFT LoRA file by module, using nothing but the header. Every tensor finds its part or the adapter is
// refused: E_EMPTY, E_DTYPE, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<LoraModules> read_lora_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, std::int32_t rank_max);

// Finds every module in the base: E_WRONG_BASE when no shape agrees, E_UNKNOWN_MODULE with the nearest name, E_SHAPE, E_PAIR.
[[nodiscard]] Result<AdapterPlan> bind_lora_modules(LoraModules lora, const AdapterConfig& config, const ModuleTable& base);

}  // namespace slora
