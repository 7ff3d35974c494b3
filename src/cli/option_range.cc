#include "cli/option_range.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "formats/json.h"

namespace slora {
CLI::Validator in_range(std::int64_t min, std::int64_t max) {
  const auto refusal = [min, max](const std::string& text) {
    std::int64_t value = 0;
    const bool is_inside = CLI::detail::lexical_cast(text, value) && value >= min && value <= max;
    return is_inside ? std::string() : fmt::format("expected a whole number from {} to {}, found {}", min, max, quote(text));
  };
  return {refusal, ""};
}

CLI::Validator real_range(double min, double max) {
  const auto refusal = [min, max](const std::string& text) {
    double value = 0;
    const bool is_inside = CLI::detail::lexical_cast(text, value) && value >= min && value <= max;
    return is_inside ? std::string() : fmt::format("expected a number from {} to {}, found {}", min, max, quote(text));
  };
  return {refusal, ""};
}

CLI::Validator one_of(std::vector<std::string> words) {
  const auto refusal = [words = std::move(words)](const std::string& text) {
    const bool is_known = std::ranges::find(words, text) != words.end();
    return is_known ? std::string() : fmt::format("expected {}, found {}", fmt::join(words, " or "), quote(text));
  };
  return {refusal, ""};
}

// CLI11 gives the number that an option can't have as "Could not convert: --seed = ten".
std::string reason_of(const CLI::ParseError& failed) {
  constexpr std::string_view unconverted = "Could not convert: ", between = " = ";
  const std::string reason = failed.what();
  const std::size_t value = reason.find(between);
  if (!reason.starts_with(unconverted) || value == std::string::npos) return reason;
  return fmt::format("{}: expected a number, found {}", reason.substr(unconverted.size(), value - unconverted.size()),
                     quote(reason.substr(value + between.size())));
}

int report_parse(const CLI::App& app, const CLI::ParseError& failed) {
  if (failed.get_exit_code() == 0) return app.exit(failed);
  fmt::print(stderr, "slora: {}\nRun with --help for more information.\n", reason_of(failed));
  return 2;
}

}  // namespace slora
