#include "adapters/adapter_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "adapters/adapter_importer.h"
#include "adapters/family_modules.h"
#include "adapters/image_writer.h"
#include "adapters/shard_records.h"
#include "base/check.h"
#include "formats/json.h"
#include "tensor/buffer.h"

namespace slora {
namespace {

// Whether every part's slice lies within its tensor. Importers see to it; a mistake there must not read other memory.
Status check_slices(std::span<const AdapterRecord> records, std::span<const TensorInfo> tensors,
                    std::span<const std::shared_ptr<const DerivedTensor>> derived) {
  for (const AdapterRecord& record : records) {
    for (const AdapterPart& part : record.parts) {
      const std::size_t source = part.source.value;
      const bool is_derived = source >= tensors.size();
      const std::vector<std::int64_t>& shape = is_derived ? derived[source - tensors.size()]->shape() : tensors[source].shape;
      const std::int64_t rows = shape.size() == 2 ? shape[0] : 1, cols = shape.back();
      const SourceSlice& slice = part.slice;
      const std::int64_t row_end = std::int64_t{part.origin.row_begin} + slice.row_begin + slice.row_count;
      const std::int64_t last = std::int64_t{slice.col_begin} + slice.col_count - 1;
      const std::int64_t col_end = slice.col_count > 0 ? part.origin.col_begin + last * part.origin.col_step + 1 : 0;
      if (row_end <= rows && col_end <= cols) continue;
      return error("E_SHAPE", "tensor {}: expected at least [{}, {}], found [{}]",
                   quote(is_derived ? derived[source - tensors.size()]->name() : tensors[source].name), row_end, col_end,
                   fmt::join(shape, ", "));
    }
  }
  return {};
}

// E_UNSUPPORTED_OPTION
Status check_records(std::span<const AdapterRecord> records, const AdapterBase& base) {
  const auto other = std::ranges::find_if(
      records, [](const AdapterRecord& record) { return record.module == kNoModule || record.find(PartKind::rows) != nullptr; });
  if (!base.format.has_other_sites && other != records.end())
    return error("E_UNSUPPORTED_OPTION", "this backend serves no adapters that change norms, the embedding or rows of the head");
  const auto sparse = std::ranges::find_if(records, [](const AdapterRecord& record) { return record.find(PartKind::values) != nullptr; });
  if (base.format.has_sparse_records || sparse == records.end()) return {};
  return error("E_UNSUPPORTED_OPTION", "{}: this backend serves no adapters with sparse matrices (SHiRA)",
               base.modules.modules[static_cast<std::size_t>(sparse->module)].path);
}

// A prompt never holds others, so the adapter would never act.
Status check_invocation(const AdapterConfig& config, std::int32_t vocab_size) {
  const auto is_unknown = [&](TokenId token) { return token >= vocab_size; };
  const auto unknown = std::ranges::find_if(config.invocation_tokens, is_unknown);
  if (unknown == config.invocation_tokens.end()) return {};
  return error("E_UNSUPPORTED_OPTION", "\"alora_invocation_tokens\": expected tokens of the base model, which has {}, found {}", vocab_size,
               *unknown);
}

// E_ROPE
Status take_rope_part(PreparedAdapter& adapter, const AdapterBase& base) {
  if (!adapter.extension) return {};
  adapter.rope = base.rope_parts->take(adapter.extension->factor);
  if (adapter.rope != nullptr) return {};
  return error("E_ROPE", "RoPE factor {}: expected one of those that other adapters have ({}), as the server has tables of {} at a time",
               adapter.extension->factor, base.rope_parts->shown_factors(), kRopePartsMax);
}

// Whether a stamp tells all later changes of the file. Two within a tick of the file system's clock would have the same.
bool is_settled(const FileStamp& file) {
  constexpr std::chrono::nanoseconds kTickMax = std::chrono::seconds(2);
  const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  return file != FileStamp() && now - std::chrono::nanoseconds(file.changed_ns) > kTickMax;
}

// `file`: the weights as they were before they were opened.
Result<AdapterModules> read_modules_of(const AdapterFolder& opened, const FileStamp& file, const AdapterBase& base, Gate& gate) {
  const bool may_keep = is_settled(file);
  ChangedRows rows = may_keep ? base.changed_rows->find(file) : ChangedRows();
  const std::size_t known_count = rows.size();
  Result<AdapterModules> modules =
      read_family_modules(opened.config, opened.weights.tensors(),
                          {base.rank_max, &base.modules, base.weights, base.projections.get(), &opened.weights, &rows, &gate});
  if (!modules || !may_keep || rows.size() == known_count) return modules;
  const Result<FileStamp> now = opened.folder.stamp(find_adapter_files(opened.folder).weights);
  if (now && *now == file) base.changed_rows->keep(file, std::move(rows));
  return modules;
}

Result<ImageSize> size_of(std::span<const ImageLayout> layouts, const SafetensorsFile& file,
                          std::span<const std::shared_ptr<const DerivedTensor>> derived, Gate& gate) {
  ImageSize size;
  for (const ImageLayout& layout : layouts) {
    size.page_count = std::max(size.page_count, layout.own_page_count());
    size.shared_page_count = std::max(size.shared_page_count, layout.shared_page_count);
  }
  if (size.shared_page_count == 0) return size;
  const Result<Sha256Digest> digest = digest_of_shared(layouts, file, derived, gate);
  if (!digest) return tl::unexpected(digest.error());
  size.shared_digest = *digest;
  return size;
}

}  // namespace

Result<PreparedAdapter> prepare_adapter(Folder folder, const AdapterBase& base, Gate& gate) {
  const Result<FileStamp> file = folder.stamp(find_adapter_files(folder).weights);
  if (!file) return tl::unexpected(file.error());
  Result<AdapterFolder> opened = open_adapter_folder(std::move(folder), &base.modules, FileContents::numbers, &gate);
  if (!opened) return forward_error(opened);
  if (Status known = check_invocation(opened->config, base.modules.vocab_size); !known) return forward_error(known);
  const Result<std::optional<ContextExtension>> extension =
      find_context_extension(opened->folder, opened->config, base.modules, base.extended_positions_max);
  if (!extension) return tl::unexpected(extension.error());
  Result<AdapterModules> modules = read_modules_of(*opened, *file, base, gate);
  if (!modules) return forward_error(modules);
  Result<AdapterPlan> plan = import_modules(std::move(*modules), opened->config, base.modules);
  if (!plan) return forward_error(plan);
  if (Status served = check_records(plan->records, base); !served) return forward_error(served);
  if (Status inside = check_slices(plan->records, opened->weights.tensors(), plan->derived); !inside) return forward_error(inside);
  std::vector<ImageLayout> layouts;
  for (std::int32_t shard = 0; shard < base.modules.shard_count; ++shard) {
    Result<ImageLayout> layout = make_image_layout(cut_for_shard(plan->records, base.modules, shard), base.format, base.page_bytes);
    if (!layout) return forward_error(layout);
    layouts.push_back(std::move(*layout));
  }
  align_shared_pages(layouts);
  const Result<ImageSize> size = size_of(layouts, opened->weights, plan->derived, gate);
  if (!size) return tl::unexpected(size.error());
  PreparedAdapter adapter{std::move(*opened),        std::move(layouts), std::move(plan->derived),
                          std::move(plan->warnings), plan->added_tokens, *extension};
  adapter.size = *size;
  if (Status taken = take_rope_part(adapter, base); !taken) return forward_error(taken);
  return adapter;
}

Result<PreparedAdapter> prepare_adapter(const FolderPath& folder, const AdapterBase& base) {
  Result<Folder> opened = Folder::open(folder);
  if (!opened) return forward_error(opened);
  Gate gate;
  return prepare_adapter(std::move(*opened), base, gate);
}

AdapterTraits PreparedAdapter::traits() const {
  AdapterTraits traits{.invocation_tokens = folder.config.invocation_tokens, .added_tokens = added_tokens};
  const auto shard_count = static_cast<std::int32_t>(layouts.size());
  for (const AdapterRecord& record : layouts.front().records) {
    traits.z_cols = std::max(traits.z_cols, (record.z_begin + record.z_cols()) * (splits_input(record.site.kind) ? 1 : shard_count));
    traits.changes_base = traits.changes_base || !record.only_adds();
  }
  traits.rope = rope;
  traits.context_tokens_max = extension ? extension->tokens_max : 0;
  return traits;
}

Result<Sha256Digest> write_adapter(std::span<const ImagePages> pages, const PreparedAdapter& adapter, Gate& gate, SharedPart shared) {
  check(pages.size() == adapter.layouts.size(), "expected pages of every shard");
  const Result<std::string> config = adapter.folder.config_text();
  if (!config) return tl::unexpected(config.error());
  Sha256 content;
  const std::string length = fmt::format("{}:", config->size());
  content.update(std::as_bytes(std::span(length)));
  content.update(std::as_bytes(std::span(*config)));
  if (adapter.extension) {
    const std::string rope = fmt::format("rope {} {}:", adapter.extension->factor, adapter.extension->tokens_max);
    content.update(std::as_bytes(std::span(rope)));
  }
  std::vector<ImageTarget> targets;
  for (std::size_t shard = 0; shard < pages.size(); ++shard) targets.push_back({pages[shard], &adapter.layouts[shard], shared});
  if (Status status = write_images(targets, adapter.folder.weights, adapter.derived, content, gate); !status) return forward_error(status);
  return content.finish();
}

Result<Sha256Digest> verify_adapter(const PreparedAdapter& adapter, Gate& gate) {
  const std::size_t page_bytes = adapter.layouts.front().page_bytes;
  const std::uint32_t page_count = adapter.size.pages_in_all();
  std::vector<Buffer> images;
  std::vector<std::vector<std::byte*>> addresses;
  for (std::size_t shard = 0; shard < adapter.layouts.size(); ++shard) {
    const Buffer& image = images.emplace_back(page_count * page_bytes);
    std::vector<std::byte*>& pages = addresses.emplace_back();
    for (std::uint32_t page = 0; page < page_count; ++page) pages.push_back(image.data() + page * page_bytes);
  }
  return write_adapter(std::vector<ImagePages>(addresses.begin(), addresses.end()), adapter, gate);
}

}  // namespace slora
