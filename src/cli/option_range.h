#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace slora {

inline constexpr std::int64_t kPortMax = 65535;

// Validators for the values of an option, both ends included, that keep the help text short and say what they expected and found.
[[nodiscard]] CLI::Validator in_range(std::int64_t min, std::int64_t max);

// Of real numbers: refuses NaN too, which CLI::Range lets through.
[[nodiscard]] CLI::Validator real_range(double min, double max);

// One of these words.
[[nodiscard]] CLI::Validator one_of(std::vector<std::string> words);

// Why a command line cannot be parsed, in our words.
[[nodiscard]] std::string reason_of(const CLI::ParseError& failed);

// Prints why a command line cannot be parsed, or the help or version that it is for; returns the exit code, 2 for errors.
[[nodiscard]] int report_parse(const CLI::App& app, const CLI::ParseError& failed);

}  // namespace slora
