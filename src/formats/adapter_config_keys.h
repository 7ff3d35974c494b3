#pragma once
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// Refuses (E_UNSUPPORTED_OPTION) every unknown key of an adapter's config, unless its value switches it off: new variants of LoRA
// are new keys, and ignoring one would produce wrong text without an error.
Status check_adapter_config_keys(const Json& config);

}  // namespace slora
