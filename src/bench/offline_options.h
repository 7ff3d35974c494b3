#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/random_adapters.h"
#include "formats/model_config.h"

namespace slora::bench {

enum class AdapterUse : std::uint8_t { none, shared, distinct };  // among the sequences of a batch

// Which adapters the sequences of a row use.
struct AdapterSetting {
  AdapterUse use = AdapterUse::none;
  AdapterKind kind;
  std::int32_t registered = 0;  // how many are used in rotation; 0: each sequence has its own

  // Number of different adapters among `batch` sequences.
  [[nodiscard]] std::int32_t count_in(std::int32_t batch) const;
  // How many of `batch` sequences use the adapter of this index. Requires: index < count_in(batch).
  [[nodiscard]] std::int32_t sequences_of(std::int32_t index, std::int32_t batch) const;
  // The name of the adapter of a row's sequence; empty for the base.
  [[nodiscard]] std::string adapter_of(std::int64_t sequence_index) const;
};
// "base", "one r16 all", "each r16 all", "8 r16 all".
[[nodiscard]] std::string name_of(const AdapterSetting& setting);

enum class OfflineKind : std::uint8_t {
  prefill,   // one prompt, up to its first token
  decode,    // steps in which every sequence of a batch gets one token
  requests,  // a list of requests, a batch of them at a time
};

// What to measure. Every combination of batch, context and adapters is a row, and every combination of prompt and adapters.
struct OfflineOptions {
  std::vector<std::int32_t> prompts = {128, 512};
  std::vector<std::int32_t> batches = {1, 2, 4, 8, 16, 32};
  std::vector<std::int32_t> contexts = {128, 1024, 8192};
  std::int64_t context_tokens_max = 16384;  // of all sequences of a batch; rows that would need more are skipped
  std::vector<AdapterUse> uses = {AdapterUse::none, AdapterUse::shared, AdapterUse::distinct};
  std::vector<AdapterKind> kinds = {AdapterKind{}};
  std::int32_t requests = 0;             // in a list, for each batch and setting; 0: no lists
  std::vector<std::int32_t> registered;  // adapters used in rotation in a list or a larger batch; empty: as many as the batch
  std::int32_t request_prompt_tokens = 128, request_output_tokens = 64;
  // Of a list, in addition to a batch that runs: as at a saturated server, whose queue says which adapters to load ahead. Requires one
  // batch size if not 0.
  std::int32_t requests_waiting = 0;
  double top_p = 1;  // below 1: tokens are sampled at temperature 0.8
  std::int32_t repeats = 5;
  std::int32_t steps = 16;  // in one repetition of decoding
};

struct PlannedRow {
  OfflineKind kind = OfflineKind::decode;
  AdapterSetting adapters;
  std::int32_t batch = 1;
  std::int32_t tokens = 0;  // of the prompt, or of the context
};

// The rows to measure, in order, without those that need more than context_tokens_max.
[[nodiscard]] std::vector<PlannedRow> plan_rows(const OfflineOptions& options);
// Text that says how many rows were skipped for that, and which; empty if none.
[[nodiscard]] std::string left_out_text(const OfflineOptions& options);

// Decoding measures steps in the middle of what its sequences generate: how many, and how many tokens are generated in all.
[[nodiscard]] std::int32_t measured_tokens(const OfflineOptions& options);
[[nodiscard]] std::int32_t generated_tokens(const OfflineOptions& options);
// Prompt length for which the measured steps have this context on average.
[[nodiscard]] std::int32_t prompt_tokens_for(const OfflineOptions& options, std::int32_t context);

// "--context 512 with --repeats 5 and --steps 16: sequences of 595 tokens": what needs the longest sequence. Requires: a planned row.
[[nodiscard]] std::string longest_sequence_text(const OfflineOptions& options);
// Tokens of the longest sequence, and the pool bytes with which nothing is evicted that a row still needs.
[[nodiscard]] std::int32_t longest_sequence(const OfflineOptions& options);
[[nodiscard]] std::uint64_t pool_bytes_for(const OfflineOptions& options, const ModelConfig& config, DType kv_dtype);

}  // namespace slora::bench
