#pragma once
#include <span>
#include <string_view>

#include "adapters/image_writer.h"
#include "base/result.h"

namespace slora {

// Refuses finite numbers that overflow as soon as they are used: E_NONFINITE. names, largest [tensors of the file and derived ones].
[[nodiscard]] Status check_magnitudes(std::span<const ImageTarget> targets, std::span<const std::string_view> names,
                                      std::span<const float> largest);

}  // namespace slora
