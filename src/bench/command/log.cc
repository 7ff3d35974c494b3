#include "bench/command/log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "bench/machine_facts.h"
#include "cli/byte_size.h"

namespace slora {

std::string shown_command_line(std::span<const char* const> words) {
  constexpr std::string_view kKeyOption = "--api-key", kBlank = "***";
  std::string line;
  bool is_key = false;
  for (const std::string_view word : words) {
    if (!line.empty()) line += ' ';
    const bool has_key = word.starts_with(kKeyOption) && word.substr(kKeyOption.size()).starts_with('=');
    if (is_key) {
      line += kBlank;
    } else if (has_key) {
      line.append(kKeyOption).append("=").append(kBlank);
    } else {
      line += word;
    }
    is_key = !is_key && word == kKeyOption;
  }
  return line;
}

void print_machine(const bench::MachineProbe& probe) {
  const bench::MachineFacts facts = bench::machine_facts();
  fmt::print("machine: {}, {} cores, {}, {}\n", facts.cpu, facts.cores, facts.instructions, facts.system);
  fmt::print("program: commit {}, {}, {}\n", facts.commit, facts.compiler, facts.date);
  fmt::print("reading: {}, {} in huge pages (the system's mode: {})\n", probe.reading(), shown_byte_size(bench::huge_page_bytes()),
             facts.huge_pages);
}

Json machine_record(const std::string& command_line, const bench::MachineProbe& probe) {
  return {{"command", command_line},
          {"machine", to_json(bench::machine_facts())},
          {"reading", probe.reading()},
          {"huge_page_bytes", bench::huge_page_bytes()}};
}

Status BenchLog::open(const std::string& path) {
  if (path.empty()) return {};
  path_ = path;
  file_.open(path, std::ios::binary | std::ios::trunc);
  if (!file_) return error("bad_option", "--json: {} can't be written", path);
  return {};
}

void BenchLog::write(const Json& line) {
  if (file_.is_open()) file_ << line.dump() << std::endl;
}

Status BenchLog::close() {
  if (!file_.is_open()) return {};
  file_.close();
  if (!file_) return error("E_WRITE", "--json: {} could not be written to its end", path_);
  return {};
}

}  // namespace slora
