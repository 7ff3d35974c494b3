#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace slora {

struct OwnArguments {
  std::vector<std::string> words;  // with options of ours only
  std::vector<std::string> notes;  // what became of each other option, for the log
};

// Translates the words of a command line, without the program's and the command's name, that may have options of other servers
// (peer_option_table.h): some have another name here, some are ignored. Words that are in no table stay as they are, and so do options that
// `is_own` knows. Refuses options by name without which something else would be served than was asked for ("bad_option").
[[nodiscard]] Result<OwnArguments> translate_peer_options(const std::vector<std::string>& words,
                                                          const std::function<bool(const std::string&)>& is_own);

}  // namespace slora
