#include "cli/instructions_option.h"

namespace slora {

CLI::Option* add_instructions_option(CLI::App& command, std::string& name) {
  return command
      .add_option("--instructions", name,
                  "What the cpu backend computes with at most: best, avx512, avx2 or portable; what the machine lacks is not used")
      ->type_name("NAME")
      ->check(CLI::IsMember({"best", "avx512", "avx2", "portable"}).description(""))
      ->capture_default_str();
}

Instructions instructions_of(const std::string& name) {
  if (name == "avx512") return Instructions::avx512;
  if (name == "avx2") return Instructions::avx2;
  return name == "portable" ? Instructions::portable : Instructions::best;
}

}  // namespace slora
