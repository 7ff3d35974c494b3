#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "base/log.h"

namespace slora {

// json: one object in each line, with "ts", "level", "msg" and the fields of a record.
enum class LogFormat { text, json };

// How lines are written from now on. Called by the program's entry point, before other threads log.
void set_log_format(LogFormat format);
[[nodiscard]] LogFormat log_format();

struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double> value;
};

// A line with fields that programs read. Any thread. Never holds prompts, keys or generated text.
void log_record(LogLevel level, std::string_view message, std::span<const LogField> fields);

}  // namespace slora
