#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/adapter_family.h"
#include "formats/folder.h"
#include "formats/json.h"
#include "formats/pattern.h"

namespace slora {

inline constexpr std::int32_t kAdapterRankMax = 512;  // that is served
inline constexpr double kRopeFactorMax = 256;         // the same

// Which biases of the base an adapter replaces.
enum class AdapterBias : std::uint8_t { none, all, lora_only };

// Initialisations of LoRA that subtract their start from the base's weights, and that can be computed again.
enum class SubtractedInit : std::uint8_t { pissa, olora };

struct RankPattern {
  ModulePattern pattern;
  std::int64_t rank;  // at least 1
};
struct AlphaPattern {
  ModulePattern pattern;
  double alpha;  // finite
};

// BD-LoRA: A or B of a module has `count` blocks on its diagonal and zeros elsewhere; which of them, parts of the module's path tell.
struct DiagonalBlocks {
  std::vector<std::string> of_a, of_b;
  std::int64_t count = 1;
  bool is_of_all = true;  // no module is without
};
// How many blocks each has; 1: it is a matrix as others.
struct BlockCounts {
  std::int64_t a = 1, b = 1;
};

// The parts of a PEFT folder's `adapter_config.json` that serving needs. Which tensors an adapter has, and their shapes, is read from
// its weight file; the config provides scale, switches and diagnostics. Module paths are those of the base:
// "model.layers.0.self_attn.q_proj".
struct AdapterConfig {
  AdapterFamily family = AdapterFamily::lora;
  std::string task_type;    // "CAUSAL_LM" or empty
  std::int64_t r = 0;       // at least 1 (SHiRA counts its elements by it); 0: the family has none, or the file alone tells
  double lora_alpha = 0.0;  // finite; LoHa's alpha
  bool use_rslora = false;  // alpha / sqrt(r) instead of alpha / r
  bool use_dora = false;
  bool lora_bias = false;  // lora_B has a bias
  std::optional<DiagonalBlocks> diagonal_blocks;
  AdapterBias bias = AdapterBias::none;
  std::vector<RankPattern> rank_pattern;    // in file order: the first match wins
  std::vector<AlphaPattern> alpha_pattern;  // in file order, independent of rank_pattern
  std::vector<std::string> target_modules;  // diagnostics: a list, or one expression or "all-linear"
  std::vector<std::string> exclude_modules;
  std::vector<std::string> target_parameters;  // of stacked experts: "mlp.experts.down_proj"
  std::vector<std::int64_t> layers_to_transform;
  std::vector<std::string> modules_to_save;
  // An activated LoRA (aLoRA): it acts from the last place of these tokens in a prompt on, and not at all in prompts without them. Empty:
  // it acts on every token.
  std::vector<TokenId> invocation_tokens;
  // Tokens whose rows of a module's weight are trained, in the order of the file's rows, by the module: of the embedding, PEFT's own name.
  std::vector<std::pair<std::string, std::vector<TokenId>>> trained_tokens;
  std::vector<TokenId> token_indices;  // TRAINABLE_TOKENS: the same, of all modules that the file has rows of
  // AdaLoRA: the rank that the scale is divided by, and how many of a module's ranks are kept, by its path.
  std::int64_t init_r = 0;
  std::vector<std::pair<std::string, std::int64_t>> kept_ranks;
  // VeRA: of the random numbers that A and B are, and whether the file has them.
  std::int64_t projection_key = 0;
  bool saves_projection = true;
  // VB-LoRA: how many vectors of which length the bank has, how many make a tile, and whether the file has weights of those alone.
  std::int64_t vector_count = 0, vector_length = 0, vectors_per_tile = 0;
  bool saves_top_weights = false;
  // IA3: the modules whose inputs are multiplied: ends of their paths, or an expression. Neither: the shapes of tensors tell alone.
  std::optional<std::vector<std::string>> feedforward_names;
  std::optional<ModulePattern> feedforward_pattern;
  double flora_scale = 1;  // FLoRA
  // An adapter for longer texts than its base's (LongLoRA): the factor of linear RoPE, besides what the base has, from 1 on; and how many
  // tokens it was trained for.
  std::optional<double> rope_factor;
  std::optional<std::int64_t> context_length;
  std::string init_lora_weights;  // "true", "false" or the named scheme
  std::optional<SubtractedInit> subtracted_init;
  std::string base_model_name;  // diagnostics; may be empty
  std::string peft_version;     // since PEFT 0.18
  std::vector<std::string> warnings;

  // Rank, alpha and scale (the factor before B A x) of the module at this path. E_PATTERN if matching exceeds its limits.
  [[nodiscard]] Result<std::int64_t> rank_of(std::string_view module_path) const;
  [[nodiscard]] Result<double> alpha_of(std::string_view module_path) const;
  [[nodiscard]] Result<double> scale_of(std::string_view module_path) const;
  // E_UNSUPPORTED_OPTION when the module at this path has blocks in both, or in neither though it should.
  [[nodiscard]] Result<BlockCounts> blocks_of(std::string_view module_path) const;
  // IA3: whether the inputs of the module at this path are multiplied, not its outputs; nothing when the config does not say. E_PATTERN.
  [[nodiscard]] Result<std::optional<bool>> is_feedforward(std::string_view module_path) const;
};

// Refuses by name every setting that would change the results and is not supported: E_BAD_JSON, E_PEFT_TYPE, E_UNSUPPORTED_OPTION,
// E_TASK, E_FOREIGN, E_BASE_MUTATED, E_SCALE, E_RANK, E_PATTERN, E_ROPE.
Result<AdapterConfig> parse_adapter_config(const Json& config);
// The folder's adapter_config.json, of any program; E_NO_CONFIG if there is none.
Result<Json> read_adapter_config_json(const Folder& folder);
// Reads the folder's adapter_config.json of PEFT.
Result<AdapterConfig> read_adapter_config(const Folder& folder);

}  // namespace slora
