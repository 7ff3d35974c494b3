#pragma once
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace slora {

enum class LogLevel { debug, info, warning, error };

// One line on standard error, with time and level. Any thread. Never holds prompts, keys or generated text.
void log_line(LogLevel level, std::string_view line);
// Lines below `level` are dropped from now on. Called once by the program's entry point.
void set_log_level(LogLevel level);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace slora
