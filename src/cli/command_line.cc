#include "cli/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "cli/config_file.h"
#include "cli/option_range.h"
#include "cli/peer_options.h"

namespace slora {
namespace {

constexpr const char* kConfigOption = "--config";
// The release of vLLM whose options are known: scripts pass those that it has.
constexpr std::string_view kKnownVllm = "0.18.0";

Result<OwnArguments> translate(const std::vector<std::string>& words, const CLI::App& command) {
  return translate_peer_options(words, [&](const std::string& name) { return command.get_option_no_throw(name) != nullptr; });
}

// The file that is named last; nothing when none is.
Result<std::optional<std::string>> config_path(const std::vector<std::string>& words) {
  const std::string attached = std::string(kConfigOption) + "=";
  std::optional<std::string> path;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with(attached)) path = words[i].substr(attached.size());
    if (words[i] != kConfigOption) continue;
    if (i + 1 == words.size()) return error("bad_option", "--config: expected a file, found none");
    path = words[i + 1];
  }
  return path;
}

// The options that these words or the environment set, or why they are refused.
Result<std::vector<std::string>> try_words(std::vector<std::string> words, const AddCommand& add_command) {
  CLI::App app;
  CLI::App* command = add_command(app);
  take_the_last_values(*command);
  for (CLI::Option* option : command->get_options()) option->required(false);
  words.insert(words.begin(), command->get_name());
  std::ranges::reverse(words);  // as the parser takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& failed) {
    if (failed.get_exit_code() != 0) return error("bad_option", "{}", reason_of(failed));
  }
  std::vector<std::string> set;
  for (const CLI::Option* option : command->get_options()) {
    if (option->count() > 0) set.insert(set.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return set;
}

// An entry as a command line would have it.
std::vector<std::string> words_of(const ConfigEntry& entry, const CLI::App& command) {
  const std::string name = option_of(entry);
  const CLI::Option* option = command.get_option_no_throw(name);
  // What other servers' switches mean is in a table of its own, which takes them without a value.
  const bool may_stand_alone = option == nullptr || option->get_items_expected_min() == 0;
  std::vector<std::string> words;
  for (const std::string& value : entry.values) {
    if (!entry.is_switch || !may_stand_alone) {
      words.push_back(fmt::format("{}={}", name, value));
    } else if (value == "true") {
      words.push_back(name);
    }
  }
  return words;
}

// The same with each value attached to its option, so that no other word can be taken for one.
std::vector<std::string> with_values_attached(const std::vector<std::string>& words) {
  std::vector<std::string> attached;
  std::string name;
  bool is_bare = false;  // the last word is an option that may have values
  for (const std::string& word : words) {
    if (word.starts_with("--")) {
      attached.push_back(word);
      is_bare = word.find('=') == std::string::npos;
      name = word.substr(0, word.find('='));
    } else {
      if (std::exchange(is_bare, false)) attached.pop_back();
      attached.push_back(fmt::format("{}={}", name, word));
    }
  }
  return attached;
}

std::string name_of(const std::string& word) { return word.substr(0, word.find('=')); }

// The words of one entry, without those of options that are given otherwise.
Result<OwnArguments> read_entry(const ConfigEntry& entry, const CLI::App& command, const AddCommand& add_command,
                                const std::vector<std::string>& given) {
  if (option_of(entry) == kConfigOption || option_of(entry) == "--help") {
    return error("bad_config", "{}: expected an option of the server: this one is for the command line", entry.key);
  }
  Result<OwnArguments> own = translate(words_of(entry, command), command);
  if (!own) return own;
  own->words = with_values_attached(own->words);
  for (const std::string& word : own->words) {
    if (command.get_option_no_throw(name_of(word)) == nullptr) return error("bad_config", "{}: there is no such option", entry.key);
  }
  if (const auto tried = try_words(own->words, add_command); !tried) return tl::unexpected(tried.error());
  std::erase_if(own->words, [&](const std::string& word) { return std::ranges::find(given, name_of(word).substr(2)) != given.end(); });
  return own;
}

Status add_config(CommandWords& to, const std::string& path, const CLI::App& command, const AddCommand& add_command) {
  const Result<std::vector<ConfigEntry>> entries = read_config_file(path);
  if (!entries) return tl::unexpected(entries.error());
  const Result<std::vector<std::string>> given = try_words(to.words, add_command);
  if (!given) return tl::unexpected(given.error());
  std::vector<std::string> words;
  for (const ConfigEntry& entry : *entries) {
    const std::string place = fmt::format("{}:{}", path, entry.line);
    const Result<OwnArguments> own = read_entry(entry, command, add_command, *given);
    if (!own) return error("bad_config", "{}: {}", place, own.error().message);
    for (const std::string& note : own->notes) to.notes.push_back(fmt::format("{}: {}", place, note));
    for (const std::string& word : own->words) to.places[name_of(word)] = place;
    words.insert(words.end(), own->words.begin(), own->words.end());
  }
  // Its value is attached, so that what comes next can't be taken for a value of the last entry.
  words.push_back(fmt::format("{}={}", kConfigOption, path));
  to.words.insert(to.words.begin(), words.begin(), words.end());
  return {};
}

}  // namespace

std::string version_text(std::string_view program_path) {
  const std::string_view name = program_path.substr(program_path.find_last_of('/') + 1);
  const std::string own = "slora " SLORA_VERSION;
  return name == "vllm" ? fmt::format("{}, with the options of vLLM {}", own, kKnownVllm) : own;
}

Result<CommandWords> read_command_words(const std::vector<std::string>& words, const CLI::App& command, const AddCommand& add_command) {
  Result<OwnArguments> own = translate(words, command);
  if (!own) return forward_error(own);
  CommandWords read{std::move(own->words), std::move(own->notes), {}};
  if (command.get_option_no_throw(kConfigOption) == nullptr) return read;
  const Result<std::optional<std::string>> path = config_path(read.words);
  if (!path) return tl::unexpected(path.error());
  if (!*path) return read;
  if (Status added = add_config(read, **path, command, add_command); !added) return forward_error(added);
  return read;
}

void take_the_last_values(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->get_items_expected_max() == 1) option->take_last();
  }
}

Error at_place(Error error, const std::map<std::string, std::string>& places) {
  const auto place = places.find(error.message.substr(0, error.message.find(": ")));
  if (place != places.end()) error.message = fmt::format("{}: {}", place->second, error.message);
  return error;
}

}  // namespace slora
