#include "cli/operation_options.h"

namespace slora {

void add_operation_options(CLI::App& command, ServeArguments& arguments) {
  command
      .add_option("--config", arguments.config,
                  "YAML or JSON file of these options, as \"max-waiting: 64\"; lists for those that are repeatable. What is given here "
                  "too counts instead")
      ->type_name("FILE");
}

}  // namespace slora
