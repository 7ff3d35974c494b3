#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// An object whose keys are known: the whole "quantization_config" by its method, or an object within that of compressed-tensors.
enum class QuantizationKeys : std::uint8_t { packed, compressed, group, weights, fp8, bitsandbytes };

// E_UNSUPPORTED_MODEL for a key that is not known and suggests that it changes the results; others are left out with a warning. Requires:
// an object.
[[nodiscard]] Status check_quantization_keys(std::vector<std::string>& warnings, const Json& object, QuantizationKeys keys);

}  // namespace slora
