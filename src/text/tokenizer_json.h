#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"
#include "text/regex.h"

namespace slora {

// What the parts of a tokenizer.json have in common: an object with "type", or null; a "Sequence" of such; a pattern that
// is {"String": "..."} or {"Regex": "..."}. `part` names the place for messages, for example "normalizer".

// The member `key` of `tokenizer_json`, nullptr when absent or null; refused when it is no object.
[[nodiscard]] Result<const Json*> part_at(const Json& tokenizer_json, std::string_view key);
[[nodiscard]] Result<std::string> type_at(const Json& step, std::string_view part);
// The list under `key` of a Sequence. Never null.
[[nodiscard]] Result<const Json*> sequence_at(const Json& step, std::string_view key, std::string_view part);
// The pattern of a step, compiled.
[[nodiscard]] Result<Regex> pattern_at(const Json& step, std::string_view part);
// The text of a step's pattern that may be no regular expression.
[[nodiscard]] Result<std::string> literal_pattern_at(const Json& step, std::string_view part);
// A string of exactly one character.
[[nodiscard]] Result<char32_t> character_at(const Json& step, std::string_view key, std::string_view part);
[[nodiscard]] Result<bool> flag_at(const Json& step, std::string_view key, std::optional<bool> fallback);

[[nodiscard]] tl::unexpected<Error> unsupported_step(std::string_view part, std::string_view type);

}  // namespace slora
