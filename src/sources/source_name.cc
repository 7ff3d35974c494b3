#include "sources/source_name.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::size_t kSourceNameBytesMax = 512, kRevisionBytesMax = 128;
constexpr std::string_view kSchemeEnd = "://";

bool is_letter_or_digit(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// As a path below something: no way up, no empty parts, no hidden files and no option, also where a program takes a prefix off.
bool is_plain_path(std::string_view text) {
  constexpr std::string_view allowed = "._/@+=-";
  if (text.empty() || !is_letter_or_digit(text.front())) return false;
  for (const std::string_view refused : {"..", "//", "/.", "/-"}) {
    if (text.find(refused) != std::string_view::npos) return false;
  }
  return std::ranges::all_of(text, [&](char c) { return is_letter_or_digit(c) || allowed.find(c) != std::string_view::npos; });
}

// The end of the scheme, or 0.
std::size_t scheme_end(std::string_view name) {
  const std::size_t end = name.find(kSchemeEnd);
  if (end == std::string_view::npos || end == 0) return 0;
  const bool is_scheme = std::ranges::all_of(name.substr(0, end), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  return is_scheme ? end + kSchemeEnd.size() : 0;
}

// What names may begin with.
bool is_source_prefix(std::string_view text) { return text.size() <= kSourceNameBytesMax && is_plain_path(text.substr(scheme_end(text))); }

}  // namespace

Result<SourceRule> parse_source_rule(std::string_view text) {
  const auto refuse = [&](std::string_view expected) {
    return error("bad_option", "--adapter-source: expected {}, found {}", expected, quote(text));
  };
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) return refuse("PREFIX=COMMAND");
  SourceRule rule{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
  const bool is_scheme = rule.prefix.ends_with(kSchemeEnd) && scheme_end(rule.prefix) == rule.prefix.size();
  if (!is_scheme && !is_source_prefix(rule.prefix)) return refuse("a prefix of names such as acme/ or of addresses such as s3://");
  std::error_code failure;
  const std::filesystem::path program = std::filesystem::absolute(rule.program, failure);
  const bool is_file = !failure && std::filesystem::is_regular_file(program, failure);
  if (!is_file || ::access(program.c_str(), X_OK) != 0) {
    return refuse("COMMAND to be the path of a program that can be executed, without arguments");
  }
  rule.program = program.string();
  return rule;
}

const SourceRule* find_source_rule(const std::vector<SourceRule>& rules, std::string_view name) {
  const SourceRule* longest = nullptr;
  for (const SourceRule& rule : rules) {
    if (!name.starts_with(rule.prefix) || name.size() == rule.prefix.size()) continue;
    if (longest == nullptr || rule.prefix.size() > longest->prefix.size()) longest = &rule;
  }
  return longest;
}

bool is_source_name(std::string_view name) { return is_source_prefix(name) && !name.ends_with('/'); }

bool is_revision(std::string_view revision) { return revision.size() <= kRevisionBytesMax && is_plain_path(revision); }

bool is_address(std::string_view path) { return scheme_end(path) > 0; }

std::optional<std::string> hub_folder_name(std::string_view name) {
  constexpr std::string_view scheme = "hf://";
  const std::string_view path = name.starts_with(scheme) ? name.substr(scheme.size()) : name;
  const std::size_t slash = path.find('/');
  if (!is_plain_path(path) || slash == std::string_view::npos || path.find('/', slash + 1) != std::string_view::npos) return std::nullopt;
  if (slash + 1 == path.size() || path.find("--") != std::string_view::npos) return std::nullopt;
  return fmt::format("models--{}--{}", path.substr(0, slash), path.substr(slash + 1));
}

}  // namespace slora
