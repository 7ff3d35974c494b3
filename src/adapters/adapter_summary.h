#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/result.h"

namespace slora {

// What a person wants to know about an adapter folder before serving it.
struct AdapterSummary {
  std::string family;                // "LoRA" or "rsLoRA"
  std::string base_model_name;       // as the folder says; may be empty
  std::vector<std::string> targets;  // last names of the modules changed, sorted: "k_proj", "q_proj"
  std::int32_t module_count = 0;
  std::int32_t rank_min = 0, rank_max = 0;
  std::uint64_t parameter_count = 0;
  std::uint64_t file_bytes = 0;
  std::vector<std::string> warnings;
};

// What it costs on a certain base.
struct AdapterCost {
  std::uint64_t image_bytes = 0;  // pages x their size
  std::uint32_t page_count = 0;
};

// The summary from the folder alone, or why no base could serve it.
[[nodiscard]] Result<AdapterSummary> describe_adapter(const std::string& folder);
// Whether this base can serve it, and at what price.
[[nodiscard]] Result<AdapterCost> cost_of_adapter(const std::string& folder, const AdapterBase& base);

}  // namespace slora
