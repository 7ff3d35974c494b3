#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <new>
#include <string>

namespace slora {
namespace {

// The only global object: log lines may come from anywhere, even before the objects of main exist.
spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("slora", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%Y-%m-%d %H:%M:%S.%e %L %v");
    return made;
  }();
  return instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

// Names from external input may contain control characters, which could forge log lines or control a terminal.
void log_line(LogLevel level, std::string_view line) try {
  std::string safe(line);
  for (char& c : safe) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  logger().log(to_spdlog(level), spdlog::string_view_t(safe.data(), safe.size()));
} catch (const std::bad_alloc&) {  // what is logged must not fail because it is logged
}

void format_log_line(LogLevel level, fmt::string_view format, fmt::format_args args) try {
  log_line(level, fmt::vformat(format, args));
} catch (const std::bad_alloc&) {
}

void set_log_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

}  // namespace slora
