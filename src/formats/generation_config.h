#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// A model folder's end tokens and default sampling parameters. Parameters that the folder does not set are empty.
struct GenerationConfig {
  std::vector<TokenId> eos_token_ids;  // any of them ends a sequence; sorted, without repeats
  std::optional<TokenId> bos_token_id;
  std::optional<TokenId> pad_token_id;
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::vector<std::string> warnings;  // for the log
};

// `generation` is generation_config.json (null when there is none), `config` is config.json, which provides ids that the former lacks; the
// end tokens are those of both. Ids lie in [0, vocab_size). Errors name the file and the key.
Result<GenerationConfig> parse_generation_config(const Json& generation, const Json& config, std::int32_t vocab_size);
// Reads `folder`/generation_config.json and `folder`/config.json, where there are such, or a GGUF file at this path.
Result<GenerationConfig> read_generation_config(const std::string& folder, std::int32_t vocab_size);

}  // namespace slora
