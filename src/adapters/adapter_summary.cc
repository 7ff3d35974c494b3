#include "adapters/adapter_summary.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "adapters/family_modules.h"

namespace slora {

Result<AdapterSummary> describe_adapter(const FolderPath& folder) {
  Result<Folder> files = Folder::open(folder);
  if (!files) return forward_error(files);
  const Result<AdapterFolder> opened = open_adapter_folder(std::move(*files));
  if (!opened) return tl::unexpected(opened.error());
  const AdapterConfig& config = opened->config;
  Result<AdapterModules> modules =
      read_family_modules(config, opened->weights.tensors(), {.rank_max = std::numeric_limits<std::int64_t>::max()});
  if (!modules) return forward_error(modules);

  AdapterSummary summary;
  summary.family = config.use_rslora ? "rsLoRA" : config.use_dora ? "DoRA" : name_of(config.family);
  summary.formula = config.use_dora ? "y = m * (W x + scale B (A x)) / norm of each row of W + scale B A" : formula_of(config.family);
  summary.base_model_name = config.base_model_name;
  summary.invocation_tokens = config.invocation_tokens;
  summary.file_bytes = opened->weights.file_bytes();
  summary.warnings = std::move(modules->warnings);
  std::set<std::string> targets;
  for (const AdapterModule& module : modules->modules) {
    if (module.parts.empty()) continue;  // is computed by the base
    ++summary.module_count;
    targets.insert(module.path.substr(module.path.rfind('.') + 1));
    const std::int64_t rank = module.stored_rank > 0 ? module.stored_rank : module.rank;
    if (rank == 0) continue;
    summary.rank_min = summary.rank_min == 0 ? rank : std::min(summary.rank_min, rank);
    summary.rank_max = std::max(summary.rank_max, rank);
  }
  summary.targets.assign(targets.begin(), targets.end());
  for (const TensorInfo& tensor : opened->weights.tensors()) summary.parameter_count += tensor.bytes / bytes_of(tensor.dtype);
  return summary;
}

Result<AdapterCost> measure_adapter(const FolderPath& folder, const AdapterBase& base) {
  const Result<PreparedAdapter> adapter = prepare_adapter(folder, base);
  if (!adapter) return tl::unexpected(adapter.error());
  Gate gate;
  if (const Result<Sha256Digest> read = verify_adapter(*adapter, gate); !read) return tl::unexpected(read.error());
  const std::uint32_t page_count = adapter->page_count();
  return AdapterCost{page_count, std::uint64_t{page_count} * base.page_bytes, adapter->warnings};
}

}  // namespace slora
