#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>

namespace slora {

// Validators for the values of an option, both ends included, that keep the help text short.
[[nodiscard]] CLI::Validator in_range(std::int32_t min, std::int32_t max);

// Of real numbers: refuses NaN too, which CLI::Range lets through.
[[nodiscard]] CLI::Validator real_range(double min, double max);

}  // namespace slora
