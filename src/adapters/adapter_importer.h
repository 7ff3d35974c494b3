#pragma once
#include "adapters/adapter_record.h"
#include "adapters/lora_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/module_table.h"

namespace slora {

// Matches every module of a LoRA file with the base. E_WRONG_BASE when no shape agrees, E_UNKNOWN_MODULE with the nearest name,
// E_SHAPE, E_PAIR.
[[nodiscard]] Result<AdapterPlan> import_modules(AdapterModules lora, const AdapterConfig& config, const ModuleTable& base);

}  // namespace slora
