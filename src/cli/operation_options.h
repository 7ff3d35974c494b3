#pragma once
#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace slora {

// The options of `slora serve` by which it is run with other programs: web pages, what watches it, a file of options.
void add_operation_options(CLI::App& command, ServeArguments& arguments);

}  // namespace slora
