#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"
#include "text/regex.h"

namespace slora {

// The forms that all parts of a tokenizer.json share: an object with "type", or null; a "Sequence" of such; a pattern that
// is {"String": "..."} or {"Regex": "..."}. `path` is the location for messages, for example "normalizer.normalizers[1]".

// The member `key` of `tokenizer_json`, nullptr when absent or null; refused when it is no object.
[[nodiscard]] Result<const Json*> part_at(const Json& tokenizer_json, std::string_view key);
[[nodiscard]] Result<std::string> type_at(const Json& step, std::string_view path);
// Calls `add` with each step in the list `key` of a Sequence and its path, up to the first that fails.
Status add_steps(const Json& sequence, std::string_view key, std::string_view path,
                 const std::function<Status(const Json& step, const std::string& path)>& add);
// The pattern of a step, compiled.
[[nodiscard]] Result<Regex> pattern_at(const Json& step, std::string_view path);
// The text of a step's pattern, which must not be a regular expression.
[[nodiscard]] Result<std::string> literal_pattern_at(const Json& step, std::string_view path);
// A string of exactly one character.
[[nodiscard]] Result<char32_t> character_at(const Json& step, std::string_view key, std::string_view path);
[[nodiscard]] Result<bool> flag_at(const Json& step, std::string_view key, std::optional<bool> fallback);

[[nodiscard]] tl::unexpected<Error> unsupported_step(std::string_view path, std::string_view type);

}  // namespace slora
