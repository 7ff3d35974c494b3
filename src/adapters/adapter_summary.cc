#include "adapters/adapter_summary.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "adapters/family_modules.h"
#include "adapters/tensor_names.h"

namespace slora {

namespace {

// Of the modules of the record's fused product.
std::int32_t fused_outputs(const ModuleTable& base, Site site) {
  std::int32_t outputs = 0;
  for (const ModuleEntry& module : base.modules) outputs += module.site == site ? module.out : 0;
  return outputs;
}

double flops_of(const AdapterRecord& record, const ModuleTable& base) {
  const double rank = record.rank, in = record.in, out = record.out;
  if (record.site.kind == SiteKind::embedding) return 2 * rank * out;
  if (is_norm(record.site.kind)) return 0;
  double flops = record.low_rank == LowRank::hadamard ? rank * 2 * in * out : 2 * rank * (in + out);
  if (record.find(PartKind::input_gain) != nullptr && record.out != fused_outputs(base, record.site)) flops += 2 * in * out;
  for (const AdapterPart& part : record.parts) {
    if (part.kind == PartKind::rows || part.kind == PartKind::added_rows) flops += 2.0 * part.slice.row_count * in;
    if (part.kind == PartKind::values) flops += 2.0 * part.slice.col_count;
  }
  return flops;
}

std::uint64_t bytes_read(const AdapterRecord& record) {
  const bool is_embedding = record.site.kind == SiteKind::embedding;
  std::uint64_t bytes = 0;
  for (const AdapterPart& part : record.parts) {
    auto rows = static_cast<std::uint64_t>(part.stored.rows), cols = static_cast<std::uint64_t>(part.stored.cols);
    if (is_embedding && part.kind == PartKind::a) cols = 1;
    if (is_embedding && part.kind == PartKind::rows) rows = 1;
    bytes += rows * cols * bytes_of(part.stored.dtype);
  }
  return bytes;
}

}  // namespace

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
  summary.family = config.diagonal_blocks ? "BD-LoRA" : config.use_rslora ? "rsLoRA" : config.use_dora ? "DoRA" : name_of(config.family);
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
  for (const TensorInfo& tensor : opened->weights.tensors()) {
    if (is_float(tensor.dtype)) summary.parameter_count += tensor.bytes / bytes_of(tensor.dtype);  // others are indices
  }
  return summary;
}

Result<AdapterCost> measure_adapter(const FolderPath& folder, const AdapterBase& base) {
  const Result<PreparedAdapter> adapter = prepare_adapter(folder, base);
  if (!adapter) return tl::unexpected(adapter.error());
  Gate gate;
  if (const Result<Sha256Digest> read = verify_adapter(*adapter, gate); !read) return tl::unexpected(read.error());
  const ImageSize& size = adapter->size;
  AdapterCost cost{.page_count = size.page_count,
                   .shared_page_count = size.shared_page_count,
                   .image_bytes = std::uint64_t{size.pages_in_all()} * base.page_bytes,
                   .added_tokens = adapter->added_tokens,
                   .extension = adapter->extension,
                   .warnings = adapter->warnings};
  for (const ModuleEntry& module : base.modules.modules) cost.base_token_flops += base.modules.token_share(module.site) * 2.0 * module.in * module.out;
  for (const AdapterRecord& record : adapter->layouts.front().records) {
    cost.token_flops += base.modules.token_share(record.site) * flops_of(record, base.modules);
    cost.step_bytes += bytes_read(record);
  }
  return cost;
}

}  // namespace slora
