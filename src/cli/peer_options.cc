#include "cli/peer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "cli/peer_option_table.h"
#include "formats/json.h"

namespace slora {
namespace {

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::string_view first = list.substr(0, list.find(' '));
    if (first == word) return true;
    list.remove_prefix(std::min(list.size(), first.size() + 1));
  }
  return false;
}

const PeerOption* find_peer_option(std::string_view name) {
  for (const PeerOption& option : peer_options()) {
    if (has_word(option.names, name)) return &option;
  }
  return nullptr;
}

// Values may begin with one dash, as negative numbers do.
bool is_option(std::string_view word) { return word.starts_with("--") || (word.starts_with('-') && find_peer_option(word) != nullptr); }

// One option as it stands in the words: its name with dashes, and its value if it is attached by "=".
struct GivenOption {
  std::string name;
  std::optional<std::string> attached;
};

GivenOption option_in(std::string_view word) {
  const std::size_t equals = word.find('=');
  GivenOption option{std::string(word.substr(0, equals)), {}};
  if (option.name.starts_with("--")) std::ranges::replace(option.name, '_', '-');
  if (equals != std::string_view::npos) option.attached = std::string(word.substr(equals + 1));
  return option;
}

// The values of a peer's option, which are taken off the front of `rest`.
Result<std::vector<std::string>> take_values(const GivenOption& given, PeerValues values, std::span<const std::string>& rest) {
  std::vector<std::string> taken;
  if (given.attached) taken.push_back(*given.attached);
  const bool may_follow = values == PeerValues::many || (!given.attached && values != PeerValues::none);
  while (may_follow && !rest.empty() && !is_option(rest.front())) {
    taken.push_back(rest.front());
    rest = rest.subspan(1);
    if (values != PeerValues::many) break;
  }
  if (taken.empty() && (values == PeerValues::one || values == PeerValues::many)) {
    return error("bad_option", "{}: expected a value, found none", given.name);
  }
  return taken;
}

// A JSON list as one word for each entry: the parser of our options would take it apart at its commas.
void add_modules(std::vector<std::string>& words, const std::string& value) {
  const Result<Json> list = parse_json(value);
  if (!value.starts_with('[') || !list || !list->is_array()) return words.push_back(value);
  for (const Json& entry : *list) words.push_back(entry.dump());
}

// Adds one option in our terms, or a note of what became of it.
Status add_translated(OwnArguments& own, const GivenOption& given, const PeerOption& option, const std::vector<std::string>& values) {
  const std::string shown = values.empty() ? given.name : fmt::format("{} {}", given.name, fmt::join(values, " "));
  switch (option.rule) {
    case PeerRule::renamed:
      own.notes.push_back(fmt::format("{} is {} here", given.name, option.detail));
      own.words.emplace_back(option.detail);
      for (const std::string& value : values) add_modules(own.words, value);
      return {};
    case PeerRule::refused:
      return error("bad_option", "{}: {}", shown, option.why);
    case PeerRule::only:
      for (const std::string& value : values) {
        if (has_word(option.detail, value)) continue;
        return error("bad_option", "{}: expected {}, found {}: {}", given.name, option.detail, quote(value), option.why);
      }
      [[fallthrough]];
    case PeerRule::ignored:
      own.notes.push_back(fmt::format("{} has no effect: {}", shown, option.why));
  }
  return {};
}

}  // namespace

Result<OwnArguments> translate_peer_options(const std::vector<std::string>& words, const std::function<bool(const std::string&)>& is_own) {
  OwnArguments own;
  bool in_modules = false;
  for (std::span<const std::string> rest = words; !rest.empty();) {
    const std::string& word = rest.front();
    rest = rest.subspan(1);
    const GivenOption given = option_in(word);
    const bool may_be_peers = word.starts_with('-') && !is_own(given.name);
    const PeerOption* option = may_be_peers ? find_peer_option(given.name) : nullptr;
    if (option != nullptr) {
      Result<std::vector<std::string>> values = take_values(given, option->values, rest);
      if (!values) return forward_error(values);
      if (Status added = add_translated(own, given, *option, *values); !added) return forward_error(added);
      in_modules = false;
    } else if (word.starts_with("--")) {
      in_modules = given.name == "--lora-modules";
      own.words.push_back(given.name);
      if (in_modules && given.attached) {
        add_modules(own.words, *given.attached);
      } else if (given.attached) {
        own.words.back() += "=" + *given.attached;
      }
    } else if (in_modules) {
      add_modules(own.words, word);
    } else {
      own.words.push_back(word);
    }
  }
  return own;
}

}  // namespace slora
