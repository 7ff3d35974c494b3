#pragma once
#include <fstream>
#include <span>
#include <string>

#include "base/result.h"
#include "bench/machine_limits.h"
#include "formats/json.h"

namespace slora {

// The words of a command as they were typed, with API keys blanked, for records that others read.
[[nodiscard]] std::string shown_command_line(std::span<const char* const> words);

// Prints what machine and program the figures are of.
void print_machine(const bench::MachineProbe& probe);
// The same, with the command, for the record.
[[nodiscard]] Json machine_record(const std::string& command_line, const bench::MachineProbe& probe);

// Rows as lines of JSON, each written as soon as it is there. Does nothing without a file.
class BenchLog {
 public:
  // What `path` held is gone: open when nothing else can be refused.
  [[nodiscard]] Status open(const std::string& path);
  void write(const Json& line);
  // An error when not every line could be written.
  [[nodiscard]] Status close();

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace slora
