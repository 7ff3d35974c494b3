#pragma once
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/json.h"

namespace slora {

// Reads what only configs of the adapter's family have, of families other than LoRA. E_BAD_JSON, E_UNSUPPORTED_OPTION, E_SCALE, E_RANK,
// E_PATTERN.
[[nodiscard]] Status take_family_options(AdapterConfig& adapter, const Json& config);

}  // namespace slora
