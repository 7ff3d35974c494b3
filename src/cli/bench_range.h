#pragma once
#include <CLI/CLI.hpp>

namespace slora {

// A range that refuses NaN too, which CLI::Range lets through, and leaves the help short.
[[nodiscard]] CLI::Validator real_range(double min, double max);

}  // namespace slora
