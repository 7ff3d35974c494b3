#include "cli/option_range.h"

#include <fmt/format.h>

namespace slora {

CLI::Validator in_range(std::int32_t min, std::int32_t max) { return CLI::Range(min, max).description(""); }

CLI::Validator real_range(double min, double max) {
  const auto refusal = [min, max](const std::string& text) {
    double value = 0;
    const bool is_inside = CLI::detail::lexical_cast(text, value) && value >= min && value <= max;
    return is_inside ? std::string() : fmt::format("Value {} not in range [{} - {}]", text, min, max);
  };
  return {refusal, ""};
}

}  // namespace slora
