#include "engine/adapter_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "backend/device_error.h"
#include "base/caught.h"
#include "base/check.h"
#include "engine/image_copy.h"

namespace slora {
namespace {

constexpr std::uint64_t kHostLane = ~std::uint64_t{0};  // of loads that read no file

TiledMatrix matrix_of(const StoredMatrix& matrix, const AdapterView& view) {
  return {view.tiles.data() + matrix.tile_begin, matrix.tile_count, matrix.rows, matrix.cols, matrix.dtype};
}

const float* vector_of(const StoredMatrix& vector, const AdapterView& view) {
  return reinterpret_cast<const float*>(matrix_of(vector, view).tiles->data);
}

const std::int32_t* integers_of(const StoredMatrix& vector, const AdapterView& view) {
  return reinterpret_cast<const std::int32_t*>(vector_of(vector, view));
}

void add_part(RecordView& record, const AdapterPart& part, const AdapterView& view) {
  switch (part.kind) {
    case PartKind::a:
      record.a = matrix_of(part.stored, view);
      return;
    case PartKind::b:
      record.b = matrix_of(part.stored, view);
      return;
    case PartKind::input_gain:
      record.input_gain = vector_of(part.stored, view);
      return;
    case PartKind::rank_gain:
      record.rank_gain = vector_of(part.stored, view);
      return;
    case PartKind::delta_gain:
      record.delta_gain = vector_of(part.stored, view);
      return;
    case PartKind::gain:
      record.gain = vector_of(part.stored, view);
      return;
    case PartKind::row_counts:
      record.sparse.row_ends = integers_of(part.stored, view);
      return;
    case PartKind::columns:
      record.sparse.columns = matrix_of(part.stored, view);
      return;
    case PartKind::values:
      record.sparse.values = matrix_of(part.stored, view);
      return;
    case PartKind::rows:
      record.rows = matrix_of(part.stored, view);
      return;
    case PartKind::row_ids:
      record.row_ids = integers_of(part.stored, view);
      return;
    case PartKind::added_rows:
      record.added_rows = matrix_of(part.stored, view);
      return;
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      record.bias = vector_of(part.stored, view);
      if (part.kind == PartKind::bias_replacing) record.bias_mode = BiasMode::replace;
      return;
  }
}

// The view of one shard.
AdapterView view_of_shard(const ImageLayout& layout, ImagePages pages, const ModuleTable& modules, std::int32_t shard_count) {
  AdapterView view;
  view.tiles.reserve(layout.tiles.size());
  for (const ImageTile& tile : layout.tiles) {
    view.tiles.push_back({pages[tile.place.page] + tile.place.offset, tile.row_begin, tile.row_count, tile.col_begin, tile.col_count});
  }
  view.expert_count = modules.expert_count;
  view.sites.resize(site_count(modules.layer_count, modules.expert_count));
  view.records.reserve(layout.records.size());
  for (const AdapterRecord& record : layout.records) {
    AdapterView::Range& range = view.sites[index_of(record.site, view.expert_count)];
    if (range.count == 0) range.begin = static_cast<std::int32_t>(view.records.size());
    check(range.begin + range.count == static_cast<std::int32_t>(view.records.size()), "expected records ordered by site");
    RecordView& out = view.records.emplace_back();
    out.slice_begin = record.slice_begin;
    out.out = record.out;
    out.in = record.in;
    out.rank = record.rank;
    out.z_shard = record.z_shard;
    out.z_begin = record.z_begin;
    out.scale = record.scale;
    out.low_rank = record.low_rank;
    for (const AdapterPart& part : record.parts) add_part(out, part, view);
    ++range.count;
    view.changes_mlps = view.changes_mlps || record.site.kind == SiteKind::gate_up || record.site.kind == SiteKind::down;
    range.z_cols = std::max(range.z_cols, record.z_begin + record.z_cols());
    view.shard_z_cols_max = std::max(view.shard_z_cols_max, range.z_cols);
    view.z_cols_max = std::max(view.z_cols_max, range.z_cols * (splits_input(record.site.kind) ? 1 : shard_count));
  }
  return view;
}

}  // namespace

std::unique_ptr<AdapterView> make_adapter_view(AdapterId id, std::span<const ImageLayout> layouts, std::span<const ImagePages> pages,
                                               const ModuleTable& modules) {
  check(!layouts.empty() && layouts.size() == pages.size(), "expected the images of all shards");
  const auto shard_count = static_cast<std::int32_t>(layouts.size());
  const auto view_of = [&](std::size_t shard) {
    AdapterView view = view_of_shard(layouts[shard], pages[shard], modules, shard_count);
    view.id = id;
    return view;
  };
  auto first = std::make_unique<AdapterView>(view_of(0));
  for (std::size_t shard = 1; shard < layouts.size(); ++shard) {
    const AdapterView& other = first->other_shards.emplace_back(view_of(shard));
    check(other.z_cols_max == first->z_cols_max, "expected shrink results of the same shape on every shard");
  }
  return first;
}

namespace {

// Each component's image in its own part of the pages; what several components share is written once.
Result<std::unique_ptr<const AdapterView>> bring_in_blend(AdapterStore& store, ModelShards& model, const AdapterVersion& blend,
                                                          const LoadPages& pages, Gate& gate) {
  auto view = std::make_unique<AdapterView>();
  view->id = blend.id();
  std::span<const PageIndex> own = pages.own;
  std::vector<LoadPages::Shared> shared = pages.shared;
  for (const BlendComponent& component : blend.components()) {
    const std::span<const PageIndex> first = own.first(component.version->page_count());
    own = own.subspan(first.size());
    LoadPages part{{first.begin(), first.end()}};
    for (const SharedImage& image : component.version->shared()) {
      const auto found = std::ranges::find(shared, image.id, &LoadPages::Shared::id);
      check(found != shared.end(), "expected pages for every image that a component shares");
      part.shared.push_back(*found);
      found->part = SharedPart::leave;
    }
    Result<std::unique_ptr<const AdapterView>> loaded = bring_in(store, model, *component.version, part, gate);
    if (!loaded) return loaded;
    const AdapterView& added = *view->components.emplace_back(AdapterView::Component{component.weight, std::move(*loaded)}).view;
    view->shard_z_cols_max += added.shard_z_cols_max;
    view->rope_begin = added.rope_begin;  // the same of all
  }
  view->z_cols_max = view->shard_z_cols_max * model.shard_count();
  // AdapterStore::find_blend adds up what every adapter takes at most; where ranks are split, shards may take a column more.
  if (view->z_cols_max <= model.first_model().limits().z_cols_max) return view;
  return error("E_BLEND", "{}: its ranks do not fit into a step", blend.name());
}

// Into pages that the host cannot write.
Result<std::vector<ImageLayout>> load_by_copy(AdapterStore& store, const ModelShards& model, const AdapterVersion& version,
                                              std::span<const ImagePages> pages, SharedPart shared, Gate& gate) {
  const Result<std::shared_ptr<const HostImage>> image = store.load_image(version, gate, shared);
  if (!image) return tl::unexpected(image.error());
  const std::vector<ImageLayout>& layouts = (*image)->layouts();
  for (std::size_t shard = 0; shard < pages.size(); ++shard) {
    Backend& backend = *model.shard(static_cast<std::int32_t>(shard)).backend;
    if (try_copy_image(backend, pages[shard], (*image)->pages_of(shard, shared), layouts[shard].page_bytes, gate)) continue;
    return tl::unexpected(adapter_unavailable(version.name(), {"E_READ", "copying its image took too long", {}}));
  }
  return layouts;
}

}  // namespace

Result<std::unique_ptr<const AdapterView>> bring_in(AdapterStore& store, ModelShards& model, const AdapterVersion& version,
                                                    const LoadPages& pages, Gate& gate) {
  if (!version.components().empty()) return bring_in_blend(store, model, version, pages, gate);
  check(pages.shared.size() == version.shared().size(), "expected pages for what the adapter shares");
  const SharedPart shared = pages.shared_part();
  std::vector<std::vector<std::byte*>> addresses(static_cast<std::size_t>(model.shard_count()));
  for (std::int32_t shard = 0; shard < model.shard_count(); ++shard) {
    const PageArena& arena = *model.shard(shard).arena;
    std::vector<std::byte*>& image = addresses[static_cast<std::size_t>(shard)];
    for (const PageIndex page : pages.own) image.push_back(arena.page(page));
    for (const LoadPages::Shared& part : pages.shared)
      for (const PageIndex page : part.pages) image.push_back(arena.page(page));
  }
  const std::vector<ImagePages> images(addresses.begin(), addresses.end());
  const bool is_written_by_host = model.shard(0).backend->shares_host_memory();
  const Result<std::vector<ImageLayout>> layouts =
      is_written_by_host ? store.load(version, images, gate, shared) : load_by_copy(store, model, version, images, shared, gate);
  if (!layouts) return tl::unexpected(layouts.error());
  std::unique_ptr<AdapterView> view = make_adapter_view(version.id(), *layouts, images, store.base().modules);
  view->added_tokens = version.traits().added_tokens;
  if (version.traits().rope != nullptr) view->rope_begin = model.rope_begin_of(*version.traits().rope);
  return view;
}

AdapterLoader::AdapterLoader(const AdapterLoaderOptions& options, Inbox& inbox, BringIn bring_in)
    : bring_in_(std::move(bring_in)),
      inbox_(inbox),
      watch_(options.idle_time_max),
      lanes_({.threads_per_lane = options.threads_per_lane,
              .threads_max = options.threads_per_lane * options.lanes_max,
              .waiting_max = options.loads_max}) {
  check(options.threads_per_lane > 0 && options.lanes_max > 0, "expected at least one loader thread");
}

void AdapterLoader::start(std::shared_ptr<const AdapterVersion> version, LoadPages pages, Timestamp now, LoadSource source,
                          std::shared_ptr<const HostImage> image) {
  const auto progress = std::make_shared<JobProgress>();
  const std::uint64_t lane = source == LoadSource::host_memory ? kHostLane : version->lane();
  auto job = [this, version, pages = std::move(pages), progress, image = std::move(image)] {
    progress->is_running = true;
    if (!progress->gate.pass([] {})) return;  // given up while it waited
    const auto load = [&]() -> Result<std::unique_ptr<const AdapterView>> {
      try {
        return bring_in_(*version, pages, progress->gate);
      } catch (const DeviceError& failure) {
        return tl::unexpected(Error{std::string(kDeviceFailed), failure.what(), {}});
      }
    };
    LoadOutcome outcome{version->id(), run_caught(load)};
    if (progress->gate.close()) inbox_.report(std::move(outcome));
  };
  const auto take_back = [&] {
    watch_.remove(version->id().value, now);
    std::erase_if(loads_, [&](const Load& load) { return load.adapter == version->id(); });
  };
  try {
    loads_.push_back({version->id(), version->name()});  // first: once it is queued, nothing may fail
    watch_.add(version->id().value, lane, progress, now);
    if (lanes_.try_run(lane, std::move(job))) return;
  } catch (...) {
    take_back();
    throw;
  }
  take_back();
  // Loads that were given up may still hold places in the queue.
  report_unavailable(version->id(), version->name(), "too many adapters wait to be read");
}

void AdapterLoader::forget(AdapterId adapter, Timestamp now) {
  watch_.remove(adapter.value, now);
  std::erase_if(loads_, [&](const Load& load) { return load.adapter == adapter; });
}

void AdapterLoader::give_up_hanging(Timestamp now) {
  watch_.look(now, [this](std::uint64_t id, JobProgress& progress) {
    const auto load = std::ranges::find(loads_, AdapterId{id}, &Load::adapter);
    LoadOutcome outcome =
        unavailable(load->adapter, load->name, fmt::format("nothing was read for {:.0f} s", seconds(watch_.idle_time_max())));
    if (!progress.gate.close()) return false;  // its outcome is in the inbox
    inbox_.report(std::move(outcome));
    loads_.erase(load);
    return true;
  });
}

LoadOutcome AdapterLoader::unavailable(AdapterId adapter, std::string_view name, std::string_view why) {
  return {adapter, tl::unexpected(adapter_unavailable(name, {"E_READ", std::string(why), {}}))};
}

void AdapterLoader::report_unavailable(AdapterId adapter, std::string_view name, std::string_view why) {
  inbox_.report(unavailable(adapter, name, why));
}

}  // namespace slora
