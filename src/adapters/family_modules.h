#pragma once
#include <cstdint>
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/changed_rows.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/model_files.h"
#include "formats/module_table.h"
#include "formats/safetensors.h"

namespace slora {

class VeraProjections;

// What readers of a family's file may need besides it.
struct FamilyContext {
  std::int64_t rank_max = 0;  // that is served
  // The base's modules and weights; null when a folder is only described. Then nothing that they would have told is checked, and what is
  // derived from them is not computed.
  const ModuleTable* modules = nullptr;
  std::shared_ptr<const ModelFiles> weights{};
  VeraProjections* projections = nullptr;  // that adapters share; null: each has its own
  const SafetensorsFile* file = nullptr;   // whose tensors these are; null where their numbers need not be looked at
  ChangedRows* changed_rows = nullptr;     // of this file, as far as they are known; more are added. Null: none are
  Gate* gate = nullptr;                    // passed as numbers are read; may be null
};

// Groups the tensors of an adapter's file by module as its family has them, from config and header alone: every family arrives at the same
// parts. An adapter with a tensor that is no known part is refused. E_EMPTY, E_DTYPE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_UNKNOWN_TENSOR,
// E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN, E_PROJECTION, E_INDEX.
[[nodiscard]] Result<AdapterModules> read_family_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                                         const FamilyContext& context);

}  // namespace slora
