#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora {

// One --adapter-source: names that begin so are fetched by this program.
struct SourceRule {
  std::string prefix;   // of a name, such as "acme/", or of an address, such as "s3://adapters/"
  std::string program;  // absolute path of a file that can be executed
};

// "PREFIX=COMMAND". "bad_option", naming what is wrong with which part.
[[nodiscard]] Result<SourceRule> parse_source_rule(std::string_view text);
// The rule with the longest prefix of the name; null: none.
[[nodiscard]] const SourceRule* find_source_rule(const std::vector<SourceRule>& rules, std::string_view name);

// Whether programs may be called with this name: letters, digits and ._/@+=- , with a scheme or without, up to 512 bytes, without ".."
// and, after the scheme, empty parts. It begins with a letter or digit, and no part of it with '.' or '-': a program that takes a prefix
// off must not be left with an option, with a folder above or with a hidden file.
[[nodiscard]] bool is_source_name(std::string_view name);
// The same for a revision, of up to 128 bytes and without a scheme.
[[nodiscard]] bool is_revision(std::string_view revision);
// Whether it is an address, as "hf://org/name" is.
[[nodiscard]] bool is_address(std::string_view path);

// A folder of a Hugging Face cache by the name "org/name", or "hf://org/name": "models--org--name". Nothing for other names.
[[nodiscard]] std::optional<std::string> hub_folder_name(std::string_view name);

}  // namespace slora
