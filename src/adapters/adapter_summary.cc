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
  summary.module_count = static_cast<std::int32_t>(modules->modules.size());
  summary.file_bytes = opened->weights.file_bytes();
  summary.warnings = std::move(modules->warnings);
  std::set<std::string> targets;
  for (const AdapterModule& module : modules->modules) {
    targets.insert(module.path.substr(module.path.rfind('.') + 1));
    if (module.rank == 0) continue;
    summary.rank_min = summary.rank_min == 0 ? module.rank : std::min(summary.rank_min, module.rank);
    summary.rank_max = std::max(summary.rank_max, module.rank);
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
  const ImageSize& size = adapter->size;
  return AdapterCost{size.page_count, size.shared_page_count, std::uint64_t{size.pages_in_all()} * base.page_bytes, adapter->warnings};
}

}  // namespace slora
