#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "backend/backend.h"

namespace slora {

// The instruction set of the CPU's kernels, as text from the command line: what is measured, or what machines of different kinds all have.
CLI::Option* add_instructions_option(CLI::App& command, std::string& name);
[[nodiscard]] Instructions instructions_of(const std::string& name);

}  // namespace slora
