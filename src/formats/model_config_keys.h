#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/model_family.h"

namespace slora {

// Refuses (E_UNSUPPORTED_MODEL) keys of a model's config that change the results and are not supported, unless their value switches
// them off or the family reads them, and unknown keys whose name or value suggests that. Other unknown keys are listed in `warnings`.
Status check_model_config_keys(std::vector<std::string>& warnings, const Json& config, const ModelFamily& family);

}  // namespace slora
