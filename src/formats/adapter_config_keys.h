#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/adapter_family.h"
#include "formats/json.h"

namespace slora {

// Goes through the keys of an adapter's config, which grow with every version of PEFT and differ from trainer to trainer. A value that
// switches a key off is left out. Refuses (E_UNSUPPORTED_OPTION) keys that change the results and are not served, and unknown ones whose
// name or value suggests that they do, or that the family does not have; other unknown ones are left out as in PEFT, and named in
// `warnings`.
Status check_adapter_config_keys(std::vector<std::string>& warnings, const Json& config, AdapterFamily family);

// Whether a version of PEFT or a known trainer writes this key.
[[nodiscard]] bool is_known_adapter_key(std::string_view key);

}  // namespace slora
