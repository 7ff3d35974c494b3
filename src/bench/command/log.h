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

// Prints the machine and the program that the figures belong to.
void print_machine(const bench::MachineProbe& probe);
// The same, with the command, for the record.
[[nodiscard]] Json machine_record(const std::string& command_line, const bench::MachineProbe& probe);

// Writes rows as lines of JSON, each as soon as it is measured. Does nothing without a file.
class BenchLog {
 public:
  // Truncates the file: call it when nothing else can fail any more.
  [[nodiscard]] Status open(const std::string& path);
  void write(const Json& line);
  // An error when not every line could be written.
  [[nodiscard]] Status close();

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace slora
