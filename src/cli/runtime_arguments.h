#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/commands.h"
#include "engine/runtime.h"

namespace slora {

// Checks the arguments and turns them into options. Errors name the option at fault.
[[nodiscard]] Result<RuntimeOptions> make_runtime_options(const ModelArguments& arguments);
// Names that mean the base model, each once: --served-model-name, else the folder's name and the folder as it was given.
[[nodiscard]] std::vector<std::string> model_names_of(const ModelArguments& arguments);

// "slora: what went wrong", on standard error. Returns the exit code 1, of every command for what it refuses or cannot read; what cannot be
// parsed ends with 2 (report_parse).
int report(const Error& error);

}  // namespace slora
