#pragma once
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// Refuses (E_UNSUPPORTED_OPTION) every key of an adapter's config that may change the numbers and is not read, unless its
// value switches it off: new variants of LoRA appear as new keys, and ignoring one gives silently wrong text.
Status check_adapter_config_keys(const Json& config);

}  // namespace slora
