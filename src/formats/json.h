#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora {

class Folder;

// Keys keep the order of the file, because in PEFT's patterns the first match wins. Look-ups are linear, so tables with many keys
// must be iterated.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t bytes_max = std::size_t{16} << 20;
  std::size_t depth_max = 64;                     // of nested arrays and objects
  std::size_t values_max = std::size_t{8} << 20;  // values in total, so that a small text can't become a large tree
};

// Parses `text`; errors are E_BAD_JSON with line, byte offset and what was expected. Strict: UTF-8, no duplicate
// keys, no comments, numbers in range, nothing after the value. Messages quote no more of the text than a key that stands twice: it may be
// a file of which its reader must not learn.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Parses an object without holding all of it: calls take(name, value) for each member, in the order of the text, until one fails. Strict as
// parse_json, except that a name may repeat.
Status parse_json_members(std::string_view text, const JsonLimits& limits,
                          const std::function<Status(const std::string& name, const Json& value)>& take);

// The content of a regular file of at most `bytes_max` bytes, or E_TOO_LARGE or the errors of ReadOnlyFile::open.
Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max);
Result<Json> read_json_file(const std::string& path, const JsonLimits& limits = {});
// The same for a file of an open folder.
Result<std::string> read_text_file(const Folder& folder, std::string_view name, std::size_t bytes_max);
Result<Json> read_json_file(const Folder& folder, std::string_view name, const JsonLimits& limits = {});

// A short form of a value for messages: printable ASCII, at most 60 characters.
std::string shown(const Json& value);
// Text from a file for messages: in quotes, printable ASCII, at most 120 characters.
std::string quote(std::string_view text);
// "an object", "an integer", ... for messages.
std::string_view type_name(const Json& value);

// Whether a value means "not used": null, false, 0, or an empty string, list or object.
bool is_off(const Json& value);

// The member `key` of `object`, or nullptr if it is absent or null. Requires: `object` is an object.
const Json* find_member(const Json& object, std::string_view key);

// Members with the type that the caller expects, else E_BAD_JSON naming key, expected and found.
Result<std::int64_t> integer_at(const Json& object, std::string_view key);
Result<std::string> string_at(const Json& object, std::string_view key);
// The same for members that may be absent or null.
Result<std::optional<std::int64_t>> optional_integer_at(const Json& object, std::string_view key);
Result<std::optional<double>> optional_number_at(const Json& object, std::string_view key);  // finite
Result<std::optional<bool>> optional_bool_at(const Json& object, std::string_view key);
Result<std::optional<std::string>> optional_string_at(const Json& object, std::string_view key);
Result<std::optional<std::vector<std::string>>> optional_strings_at(const Json& object, std::string_view key);

}  // namespace slora
