#pragma once
#include "formats/adapter_config.h"
#include "formats/module_table.h"

namespace slora {

// Whether an adapter's config selects a module of the base, by PEFT's rules for target_modules, exclude_modules and layers_to_transform.
// What the file holds is what counts; this is for what it lacks.
[[nodiscard]] bool is_targeted(const AdapterConfig& config, const ModuleEntry& entry);

}  // namespace slora
