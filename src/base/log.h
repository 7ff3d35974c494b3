#pragma once
#include <fmt/core.h>

#include <string_view>

namespace slora {

enum class LogLevel { debug, info, warning, error };

// One line on standard error, with time and level. Any thread. Never holds prompts, keys or generated text.
void log_line(LogLevel level, std::string_view line);
// The same with the line formatted from `args`. Callers use log_info() and its like, which check the format when they are compiled.
void format_log_line(LogLevel level, fmt::string_view format, fmt::format_args args);
// Lines below `level` are dropped from now on. Called once by the program's entry point.
void set_log_level(LogLevel level);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  format_log_line(LogLevel::debug, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  format_log_line(LogLevel::info, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  format_log_line(LogLevel::warning, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  format_log_line(LogLevel::error, format, fmt::make_format_args(args...));
}

}  // namespace slora
