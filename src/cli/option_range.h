#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>

namespace slora {

// Values of an option that are taken; both leave the help short. Ends included.
[[nodiscard]] CLI::Validator in_range(std::int32_t min, std::int32_t max);

// Of real numbers: refuses NaN too, which CLI::Range lets through.
[[nodiscard]] CLI::Validator real_range(double min, double max);

}  // namespace slora
