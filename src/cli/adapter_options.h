#pragma once
#include "cli/commands.h"

namespace CLI {
class App;
}

namespace slora {

// The options of `slora serve` about where adapters come from and how long they stay in memory.
void add_adapter_options(CLI::App& command, ServeArguments& arguments);

}  // namespace slora
