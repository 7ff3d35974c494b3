#include "cli/instructions_option.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace slora {

CLI::Option* add_instructions_option(CLI::App& command, std::string& name) {
  return command
      .add_option("--instructions", name,
                  fmt::format("What the cpu backend computes with: {}; what the machine lacks is replaced by the next of them",
                              fmt::join(kInstructionNames, ", ")))
      ->type_name("NAME")
      ->check(CLI::IsMember(std::vector<std::string>(kInstructionNames.begin(), kInstructionNames.end())).description(""))
      ->capture_default_str();
}

Instructions instructions_of(const std::string& name) {
  const auto* at = std::ranges::find(kInstructionNames, name);
  check(at != kInstructionNames.end(), "expected a name that the option takes");
  return static_cast<Instructions>(at - kInstructionNames.begin());
}

}  // namespace slora
