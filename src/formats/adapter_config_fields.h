#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/json.h"

namespace slora {

// Readers of fields that configs of several families have. Each leaves its default where the key is absent or null. E_BAD_JSON for values
// of other types.

inline constexpr std::size_t kPatternsMax = 4096;  // keys of a dictionary of patterns

// A finite number. E_SCALE
[[nodiscard]] Result<double> checked_alpha(std::string_view where, const Json& value);
// "r". `or_else`: PEFT's default for the family, or 0 when the file must tell. E_SCALE, E_RANK
[[nodiscard]] Status take_rank(AdapterConfig& adapter, const Json& config, std::int64_t or_else = 0);
// The numerator of the scale, which must be there. E_SCALE
[[nodiscard]] Status take_alpha(AdapterConfig& adapter, const Json& config, std::string_view key);
// "rank_pattern" and "alpha_pattern". E_PATTERN, E_RANK, E_SCALE
[[nodiscard]] Status take_rank_patterns(AdapterConfig& adapter, const Json& config);
[[nodiscard]] Status take_alpha_patterns(AdapterConfig& adapter, const Json& config);
[[nodiscard]] Status take_patterns(AdapterConfig& adapter, const Json& config);
// A number from 1 on. `code`: the error for others.
[[nodiscard]] Status take_count(std::int64_t& out, const Json& config, std::string_view key, std::int64_t or_else, std::string_view code);
[[nodiscard]] Status take_flag(bool& out, const Json& config, std::string_view key, bool or_else);
// "bias". `only`: what the family calls biases of the modules alone that it changes. E_UNSUPPORTED_OPTION
[[nodiscard]] Status take_bias(AdapterConfig& adapter, const Json& config, std::string_view only = "lora_only");
// Of families whose adapters store no biases. E_UNSUPPORTED_OPTION
[[nodiscard]] Status check_no_bias(const AdapterConfig& adapter, const Json& config);
// Tokens, each once. E_INDEX
[[nodiscard]] Result<std::vector<TokenId>> token_ids_of(std::string_view key, const Json& list);
// "trainable_token_indices": a list of tokens, of the embedding; or lists by the names of modules. E_INDEX
[[nodiscard]] Status take_trained_tokens(AdapterConfig& adapter, const Json& config);
// A list of strings, or one.
[[nodiscard]] Status take_strings(std::vector<std::string>& out, const Json& config, std::string_view key);

}  // namespace slora
