#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// Refuses (E_UNSUPPORTED_MODEL) keys of a model's config that change the numbers and that no family here knows, unless their
// value switches them off. Keys that nobody knows are named in `warnings`.
Status check_model_config_keys(std::vector<std::string>& warnings, const Json& config);

}  // namespace slora
