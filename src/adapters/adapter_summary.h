#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_image.h"
#include "base/ids.h"
#include "base/result.h"

namespace slora {

// What `slora inspect` shows of an adapter folder.
struct AdapterSummary {
  std::string_view family;                 // "LoRA", "rsLoRA", "DoRA", "VeRA", ...
  std::string_view formula;                // what it computes, in one line
  std::string base_model_name;             // as the folder says; may be empty
  std::vector<TokenId> invocation_tokens;  // from which on it acts; empty: on every token
  std::vector<std::string> targets;        // last components of the paths of its modules, sorted: "k_proj", "q_proj"
  std::int32_t module_count = 0;
  std::int64_t rank_min = 0, rank_max = 0;
  std::uint64_t parameter_count = 0;
  std::uint64_t file_bytes = 0;
  std::vector<std::string> warnings;
};

// What it takes of a certain base and its pool.
struct AdapterCost {
  std::uint32_t page_count = 0;         // of its own
  std::uint32_t shared_page_count = 0;  // of what it shares with other adapters
  std::uint64_t image_bytes = 0;        // of both, in whole pages
  std::int32_t added_tokens = 0;        // beyond the base's vocabulary
  std::optional<ContextExtension> extension{};
  // Floating-point operations of one token in linear modules: what the adapter adds, and what the base takes. A gain of the outputs or of a
  // norm counts as none; one of the inputs as the module's product once more, unless all inputs of the fused product have it.
  double token_flops = 0, base_token_flops = 0;
  std::uint64_t step_bytes = 0;       // of the image, that a step with a token of the adapter reads; of the embedding one token's
  std::vector<std::string> warnings;  // those of the summary, and those that need the base
};

// From the folder alone, without reading weights; or why no base could serve it.
[[nodiscard]] Result<AdapterSummary> describe_adapter(const FolderPath& folder);
// Or why this base cannot serve it. Reads all weights, so that it finds every fault that serving would.
[[nodiscard]] Result<AdapterCost> measure_adapter(const FolderPath& folder, const AdapterBase& base);

}  // namespace slora
