#include "cli/bench_command_line.h"

#include <string_view>

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

}  // namespace slora
