#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <new>
#include <string>

#include "base/log_record.h"

namespace slora {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%d %H:%M:%S.%e %L %v";

// With the logger, the only global state: log lines may come from anywhere, even before the objects of main exist.
spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("slora", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern(kTextPattern);
    return made;
  }();
  return instance;
}

std::atomic<LogFormat> format_in_use = LogFormat::text;

// How many bytes at the start of `text` are one character of UTF-8; 0: none are.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (bytes == 0 || bytes > text.size()) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (bytes < 3) return bytes;
  // Longer than needed, half of a pair of UTF-16, or beyond the last character.
  const bool is_wrong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) || (first == 0xf0 && byte(1) < 0x90) ||
                        (first == 0xf4 && byte(1) > 0x8f);
  return is_wrong ? 0 : bytes;
}

// What is no UTF-8 becomes question marks, as control characters do.
void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    const char c = text.front();
    if (bytes > 1) {
      out += text.substr(0, bytes);
    } else if (bytes == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += '?';
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  out += '"';
}

void append_json_value(std::string& out, const std::variant<std::string_view, std::int64_t, double>& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return append_json(out, *text);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    out += fmt::format("{}", *whole);
  } else {
    const double number = std::get<double>(value);
    out += std::isfinite(number) ? fmt::format("{:.6g}", number) : "null";
  }
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
void log_line(LogLevel level, std::string_view line) { log_record(level, line, {}); }

void log_record(LogLevel level, std::string_view message, std::span<const LogField> fields) try {
  std::string line;
  if (format_in_use == LogFormat::json) {
    line = "\"msg\":";
    append_json(line, message);
    for (const LogField& field : fields) {
      line += fmt::format(",\"{}\":", field.name);
      append_json_value(line, field.value);
    }
  } else {
    line = message;
    for (const LogField& field : fields) {
      std::visit([&](const auto& value) { line += fmt::format(" {}={}", field.name, value); }, field.value);
    }
    for (char& c : line) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
  }
  logger().log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
} catch (const std::bad_alloc&) {  // what is logged must not fail because it is logged
}

void set_log_format(LogFormat format) {
  format_in_use = format;
  if (format == LogFormat::text) return logger().set_pattern(kTextPattern);
  logger().set_pattern(R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})", spdlog::pattern_time_type::utc);
}

LogFormat log_format() { return format_in_use; }

void format_log_line(LogLevel level, fmt::string_view format, fmt::format_args args) try {
  log_line(level, fmt::vformat(format, args));
} catch (const std::bad_alloc&) {
}

void set_log_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

}  // namespace slora
