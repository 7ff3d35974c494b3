#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace slora {

// The program's commands and options as other programs read them, from what its parser knows.

// A page for man(1), in the language of roff.
[[nodiscard]] std::string man_page(const CLI::App& app);
// A script for bash that completes commands, options, and values where they are files or one of a few words.
[[nodiscard]] std::string bash_completion(const CLI::App& app);

}  // namespace slora
