#include "backend/cuda/work_lists.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kArrayBytesAtFirst = std::size_t{64} << 10;
constexpr std::size_t kArrayAlignment = 64;
// Kinds of sites that have a product: they come first. The others have no lists.
constexpr int kProductKinds = static_cast<int>(SiteKind::head) + 1;
constexpr std::int32_t kItemsPerMultiprocessor = 2;  // of attention: as many blocks as there are at a time

constexpr std::size_t aligned_bytes(std::size_t bytes) { return (bytes + kArrayAlignment - 1) / kArrayAlignment * kArrayAlignment; }

template <class... T>
std::size_t aligned_bytes(const std::vector<T>&... arrays) {
  return (aligned_bytes(arrays.size() * sizeof(T)) + ...);
}

// Copies arrays one after another to memory of the host, which goes to the device as it is.
class Placer {
 public:
  Placer(std::byte* at_host, std::byte* at_device) : at_host_(at_host), at_device_(at_device) {}

  // Returns where the device will have it.
  template <class T>
  const T* place(const std::vector<T>& array) {
    const auto* const place = reinterpret_cast<const T*>(at_device_);
    if (!array.empty()) std::memcpy(at_host_, array.data(), array.size() * sizeof(T));
    const std::size_t bytes = aligned_bytes(array.size() * sizeof(T));
    at_host_ += bytes;
    at_device_ += bytes;
    return place;
  }

 private:
  std::byte* at_host_;
  std::byte* at_device_;
};

}  // namespace

std::int32_t tile_rows_of(const SpanBatch& spans, const AttendShape& shape) {
  const std::int32_t queries = AttendItem::kRowsMax / shape.group;
  const bool are_few = std::ranges::all_of(spans.spans.host, [&](const SpanView& span) { return span.row_count <= queries; });
  return are_few ? AttendItem::kRowsMax : attend_tile_rows(shape.head_dim);
}

Result<std::unique_ptr<WorkLists>> WorkLists::create(DeviceApi& device, AdapterTables& tables, std::int32_t multiprocessors) {
  std::unique_ptr<WorkLists> lists(new WorkLists(device, tables, multiprocessors));
  if (Status made = lists->make(); !made) return forward_error(made);
  return lists;
}

Status WorkLists::make() {
  for (const auto& [buffer, bytes] : {std::pair{&device_heads_, sizeof(Heads)}, std::pair{&device_arrays_, kArrayBytesAtFirst}}) {
    Result<Buffer> memory = allocate_buffer(device_, bytes);
    if (!memory) return forward_error(memory);
    *buffer = *std::move(memory);
  }
  for (const auto& [buffer, bytes] : {std::pair{&host_heads_, sizeof(Heads)}, std::pair{&host_arrays_, kArrayBytesAtFirst}}) {
    Result<Buffer> memory = allocate_host_buffer(device_, bytes);
    if (!memory) return forward_error(memory);
    *buffer = *std::move(memory);
  }
  return {};
}

Status WorkLists::reserve(std::int64_t rows, std::span<const AttendShape> shapes) {
  constexpr std::int64_t kKinds = kProductKinds, kShrinkItems = 32;  // of an adapter at sites of a kind: 512 ranks
  const std::int64_t adapters = std::min(rows, kAdaptersReserved), pieces = adapters + rows / ExpandItem::kRowsMax;
  lists_.reserve(static_cast<std::size_t>(kKinds * kShrinkItems * pieces), static_cast<std::size_t>(kKinds * pieces));
  std::int64_t bytes = kKinds * pieces * (kShrinkItems * sizeof(ShrinkItem) + sizeof(ExpandUse) + sizeof(ExpandItem));
  for (std::size_t i = 0; i < std::min(shapes.size(), kAttendMax); ++i) {
    // A tile of one query for each, or ranges that fill the memory for parts, all of one query and two a join.
    const std::int64_t ranges = kPartRowsMax / (AttendItem::kParts * shapes[i].group);
    const std::int64_t items = rows * shapes[i].kv_heads + ranges;
    attends_[i].items.reserve(static_cast<std::size_t>(items), static_cast<std::size_t>(ranges / 2));
    bytes += items * static_cast<std::int64_t>(sizeof(AttendItem)) + ranges / 2 * static_cast<std::int64_t>(sizeof(AttendJoin));
  }
  constexpr std::size_t kArrays = 4 + 2 * kAttendMax;
  return reserve_arrays(static_cast<std::size_t>(bytes) + kArrays * kArrayAlignment);
}

void WorkLists::clear() {
  lists_.clear();
  kinds_.clear();
  batches_.clear();
  attend_count_ = 0;
}

// Each range of the keys of a span with few queries is an item. A prompt's tiles are items, unless all are too few for the device, as those
// of a short piece at the end of a long text. All give the same bits, and so do spans that find no memory for the parts of their ranges:
// the longest come first.
bool WorkLists::try_add_spans(const SpanBatch& spans, const AttendShape& shape) {
  if (attend_count_ == kAttendMax) return false;
  Attend& added = attends_[attend_count_++];
  added.spans = spans.spans.device;
  added.shape = shape;
  AttendItems& items = added.items;
  items.clear({.kv_heads = shape.kv_heads, .group = shape.group, .window = shape.window, .tile_rows = tile_rows_of(spans, shape)});
  const auto span_at = [&](std::int32_t index) { return std::bit_cast<Span>(spans.spans.host[static_cast<std::size_t>(index)]); };
  const auto is_prompt = [&](const Span& span) { return span.row_count > items.queries_max(); };
  span_order_.clear();
  std::int64_t item_count = 0;  // if no prompt is cut
  for (std::size_t i = 0; i < spans.spans.size(); ++i) {
    const Span span = span_at(static_cast<std::int32_t>(i));
    if (span.row_count == 0) continue;  // padding
    span_order_.push_back(static_cast<std::int32_t>(i));
    item_count += is_prompt(span) ? items.tile_count(span) : items.range_count_max(span);
  }
  std::ranges::sort(span_order_, {}, [&](std::int32_t index) {
    const Span span = span_at(index);
    return std::pair(-(span.position_begin + span.row_count), index);
  });
  const bool cuts_prompts = item_count < std::int64_t{kItemsPerMultiprocessor} * multiprocessors_;
  for (const std::int32_t index : span_order_) {
    const Span span = span_at(index);
    const bool has_memory = items.part_rows() + items.part_rows_max(span) <= kPartRowsMax;
    if (has_memory && (cuts_prompts || !is_prompt(span))) {
      items.add_ranges(index, span, items.queries_max());
    } else {
      items.add_tiles(index, span, items.queries_max());
    }
  }
  items.place_longest_first();
  return true;
}

bool WorkLists::try_add_sites(const AdapterBatch& adapters) {
  if (adapters.segments.empty()) return true;
  return try_add_kinds(adapters, 0, kProductKinds);
}

bool WorkLists::try_add_site(const AdapterBatch& adapters, Site site) {
  if (adapters.segments.empty()) return true;
  return try_add_kinds(adapters, index_of({0, site.kind}), 1);
}

bool WorkLists::try_add_kinds(const AdapterBatch& adapters, std::size_t first, std::size_t count) {
  if (kinds_.size() + count > kKindsMax) return false;
  batches_.push_back({adapters.segments.device, first, count, kinds_.size()});
  for (std::size_t kind = first; kind < first + count; ++kind) kinds_.push_back(lists_.add(adapters, kind, tables_));
  return true;
}

std::array<PieceCopy, 2> WorkLists::finish() {
  const std::size_t bytes = array_bytes();
  if (bytes > device_arrays_.bytes()) require_done(reserve_arrays(std::max(bytes, 2 * device_arrays_.bytes())));  // rare
  place_arrays();
  const std::size_t heads_bytes = offsetof(Heads, kinds) + kinds_.size() * sizeof(KindHeads);
  return {{{device_heads_.data(), host_heads_.data(), heads_bytes}, {device_arrays_.data(), host_arrays_.data(), bytes}}};
}

std::size_t WorkLists::array_bytes() const {
  const SiteLists::Arrays& arrays = lists_.arrays();
  std::size_t bytes = aligned_bytes(arrays.shrink_items, arrays.expand_uses, arrays.expand_items, arrays.scale_items);
  for (std::size_t i = 0; i < attend_count_; ++i) bytes += aligned_bytes(attends_[i].items.items(), attends_[i].items.joins());
  return bytes;
}

Status WorkLists::reserve_arrays(std::size_t bytes) {
  if (bytes <= device_arrays_.bytes()) return {};
  Result<Buffer> at_device = allocate_buffer(device_, bytes);
  if (!at_device) return forward_error(at_device);
  Result<Buffer> at_host = allocate_host_buffer(device_, bytes);
  if (!at_host) return forward_error(at_host);
  device_arrays_ = *std::move(at_device);
  host_arrays_ = *std::move(at_host);
  return {};
}

void WorkLists::place_arrays() {
  const SiteLists::Arrays& arrays = lists_.arrays();
  Placer placer(host_arrays_.data(), device_arrays_.data());
  const ShrinkItem* const shrink_items = placer.place(arrays.shrink_items);
  const ExpandUse* const expand_uses = placer.place(arrays.expand_uses);
  const ExpandItem* const expand_items = placer.place(arrays.expand_items);
  device_scale_items_ = placer.place(arrays.scale_items);
  auto& heads = *reinterpret_cast<Heads*>(host_heads_.data());
  for (std::size_t i = 0; i < attend_count_; ++i) {
    const std::vector<AttendItem>& items = attends_[i].items.items();
    const std::vector<AttendJoin>& joins = attends_[i].items.joins();
    heads.attend[i] = {.items = placer.place(items),
                       .item_count = static_cast<std::int32_t>(items.size()),
                       .join_count = static_cast<std::int32_t>(joins.size()),
                       .joins = placer.place(joins)};
  }
  for (std::size_t i = 0; i < kinds_.size(); ++i) {
    const SiteLists::Parts& kind = kinds_[i];
    heads.kinds[i] = {{shrink_items + kind.shrink_items.begin, static_cast<std::int32_t>(kind.shrink_items.count)},
                      {expand_uses, expand_items + kind.expand_items.begin, static_cast<std::int32_t>(kind.expand_items.count)}};
  }
}

std::optional<WorkLists::OfSpans> WorkLists::find(const SpanBatch& spans, const AttendShape& shape) const {
  for (std::size_t i = 0; i < attend_count_; ++i) {
    if (attends_[i].spans != spans.spans.device || !(attends_[i].shape == shape)) continue;
    return OfSpans{reinterpret_cast<const Heads*>(device_heads_.data())->attend + i, !attends_[i].items.joins().empty()};
  }
  return std::nullopt;
}

std::optional<WorkLists::OfSite> WorkLists::find(const AdapterBatch& adapters, Site site) const {
  for (const Batch& batch : batches_) {
    if (batch.segments != adapters.segments.device) continue;
    const std::size_t kind = index_of({0, site.kind});
    if (kind < batch.first || kind >= batch.first + batch.count) continue;
    const std::size_t index = batch.begin + (kind - batch.first);
    const KindHeads& heads = reinterpret_cast<const Heads*>(device_heads_.data())->kinds[index];
    const ListPart& scaled = kinds_[index].scale_items;
    const std::span<const ScaleItem> scale_items(lists_.arrays().scale_items);
    return OfSite{has_shrink(index) ? &heads.shrink : nullptr,
                  has_expand(index) ? &heads.expand : nullptr,
                  {scale_items.subspan(scaled.begin, scaled.count), device_scale_items_ + scaled.begin}};
  }
  return std::nullopt;
}

std::uint32_t WorkLists::work() const {
  static_assert(kAttendMax + 2 * kKindsInWork <= 32);
  std::uint32_t work = 0;
  const auto add = [&work](bool bit) { work = work * 2 + (bit ? 1 : 0); };
  for (std::size_t i = 0; i < kAttendMax; ++i) add(i < attend_count_ && !attends_[i].items.joins().empty());
  for (std::size_t kind = 0; kind < kKindsInWork; ++kind) {
    add(kind < kinds_.size() && has_shrink(kind));
    add(kind < kinds_.size() && has_expand(kind));
  }
  return work;
}

}  // namespace slora::cuda
