#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace slora {
namespace {

// The one object of the process that is not passed around: a log line may come from anywhere, also before main's objects exist.
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
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void log_line(LogLevel level, std::string_view line) { logger().log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size())); }

void set_log_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

}  // namespace slora
