#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora {

// What --version prints. A program that is called `vllm`, by a link, is looked at by scripts that choose options by the last word.
[[nodiscard]] std::string version_text(std::string_view program_path);

// The words of one command in our own terms.
struct CommandWords {
  std::vector<std::string> words;
  std::vector<std::string> notes;             // for the log
  std::map<std::string, std::string> places;  // "FILE:LINE" of the options that come from a file
};

// Adds the command to another parser and returns it, to try words.
using AddCommand = std::function<CLI::App*(CLI::App& app)>;

// Translates options of other servers (peer_options.h) in `words`, and puts before them what the file of --config says, where `command` has
// that option. What the command line or the environment says of an option replaces what the file says. Each entry of the file is parsed
// alone too, so that errors name its place.
[[nodiscard]] Result<CommandWords> read_command_words(const std::vector<std::string>& words, const CLI::App& command,
                                                      const AddCommand& add_command);

// Of an option that has one value, the last one counts: scripts append to others' command lines.
void take_the_last_values(CLI::App& command);

// Puts the place before an error that begins with an option from a file: "slora.yaml:3: --pool-memory: ...".
[[nodiscard]] Error at_place(Error error, const std::map<std::string, std::string>& places);

}  // namespace slora
