#include "adapters/adapter_image.h"

#include <fmt/format.h>

#include <utility>

#include "adapters/image_writer.h"
#include "adapters/lora_importer.h"
#include "adapters/lora_modules.h"
#include "formats/json.h"
#include "tensor/buffer.h"

namespace slora {
namespace {

constexpr std::size_t kConfigBytesMax = std::size_t{16} << 20;

}  // namespace

Result<PreparedAdapter> prepare_adapter(const std::string& folder, const AdapterBase& base) {
  Result<AdapterFolder> opened = open_adapter_folder(folder);
  if (!opened) return forward_error(opened);
  Result<LoraModules> modules = read_lora_modules(opened->config, opened->weights.tensors(), base.rank_max);
  if (!modules) return forward_error(modules);
  Result<AdapterPlan> plan = import_lora(std::move(*modules), opened->config, base.modules);
  if (!plan) return forward_error(plan);
  Result<ImageLayout> layout = make_image_layout(std::move(plan->records), base.format, base.page_bytes);
  if (!layout) return forward_error(layout);
  return PreparedAdapter{std::move(*opened), std::move(*layout), std::move(plan->warnings)};
}

Result<Sha256Digest> write_adapter(std::span<std::byte* const> pages, const std::string& folder, const PreparedAdapter& adapter) {
  const Result<std::string> config = read_text_file(folder + "/adapter_config.json", kConfigBytesMax);
  if (!config) return tl::unexpected(config.error());
  Sha256 content;
  const std::string length = fmt::format("{}:", config->size());
  content.update(std::as_bytes(std::span(length)));
  content.update(std::as_bytes(std::span(*config)));
  if (Status status = write_image(pages, adapter.layout, adapter.folder.weights, content); !status) return forward_error(status);
  return content.finish();
}

Result<Sha256Digest> rehearse_adapter(const std::string& folder, const PreparedAdapter& adapter) {
  const ImageLayout& layout = adapter.layout;
  const Buffer image(layout.page_count * layout.page_bytes);
  std::vector<std::byte*> pages;
  for (std::uint32_t page = 0; page < layout.page_count; ++page) pages.push_back(image.data() + page * layout.page_bytes);
  return write_adapter(pages, folder, adapter);
}

}  // namespace slora
