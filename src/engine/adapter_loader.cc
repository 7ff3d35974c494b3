#include "engine/adapter_loader.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

TiledMatrix view_of(const StoredMatrix& matrix, const AdapterView& view) {
  return {view.tiles.data() + matrix.tile_begin, matrix.tile_count, matrix.rows, matrix.cols, matrix.dtype};
}

void add_part(RecordView& record, const AdapterPart& part, const AdapterView& view) {
  switch (part.kind) {
    case PartKind::a:
      record.a = view_of(part.stored, view);
      return;
    case PartKind::b:
      record.b = view_of(part.stored, view);
      return;
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      record.bias = reinterpret_cast<const float*>(view_of(part.stored, view).tiles->data);
      if (part.kind == PartKind::bias_replacing) record.bias_mode = BiasMode::replace;
      return;
  }
}

}  // namespace

std::unique_ptr<const AdapterView> make_adapter_view(const ImageLayout& layout, std::span<std::byte* const> pages,
                                                     std::int32_t layer_count) {
  auto view = std::make_unique<AdapterView>();
  view->tiles.reserve(layout.tiles.size());
  for (const ImageTile& tile : layout.tiles) {
    view->tiles.push_back({pages[tile.place.page] + tile.place.offset, tile.row_begin, tile.row_count, tile.col_begin, tile.col_count});
  }
  view->sites.resize(site_count(layer_count));
  view->records.reserve(layout.records.size());
  for (const AdapterRecord& record : layout.records) {
    AdapterView::Range& range = view->sites[index_of(record.site)];
    if (range.count == 0) range.begin = static_cast<std::int32_t>(view->records.size());
    check(range.begin + range.count == static_cast<std::int32_t>(view->records.size()), "expected records ordered by site");
    RecordView& out = view->records.emplace_back();
    out.slice_begin = record.slice_begin;
    out.out = record.out;
    out.in = record.in;
    out.rank = record.rank;
    out.z_begin = range.z_cols;
    out.scale = record.scale;
    for (const AdapterPart& part : record.parts) add_part(out, part, *view);
    ++range.count;
    range.z_cols += record.rank;
    view->z_cols_max = std::max(view->z_cols_max, range.z_cols);
  }
  return view;
}

Result<std::unique_ptr<const AdapterView>> bring_in(AdapterStore& store, const PageArena& arena, const AdapterVersion& version,
                                                    std::span<const PageIndex> pages) {
  std::vector<std::byte*> addresses;
  addresses.reserve(pages.size());
  for (const PageIndex page : pages) addresses.push_back(arena.page(page));
  const Result<ImageLayout> layout = store.load(version, addresses);
  if (!layout) return tl::unexpected(layout.error());
  return make_adapter_view(*layout, addresses, store.base().modules.layer_count);
}

AdapterLoader::AdapterLoader(std::size_t thread_count, std::size_t loads_max, Inbox& inbox, BringIn bring_in)
    : bring_in_(std::move(bring_in)), inbox_(inbox), pool_(thread_count, loads_max) {
  check(thread_count > 0, "expected at least one loader thread");
}

void AdapterLoader::start(std::shared_ptr<const AdapterVersion> version, std::vector<PageIndex> pages) {
  const bool is_queued = pool_.try_run([this, version = std::move(version), pages = std::move(pages)] {
    inbox_.report({version->id(), bring_in_(*version, pages)});
  });
  check(is_queued, "expected at most loads_max loads at a time");
}

}  // namespace slora
