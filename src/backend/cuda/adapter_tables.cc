#include "backend/cuda/adapter_tables.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kCopiesAtFirst = 1024;

bool is_in_one_piece(const TiledMatrix& matrix) { return matrix.tile_count == 1 && matrix.tiles->col_count == matrix.cols; }

// Rows are whole in every piece, and begin at multiples of 16 bytes.
bool has_wide_rows(const TiledMatrix& matrix) {
  const std::size_t row_bytes = static_cast<std::size_t>(matrix.cols) * sizeof(Bfloat16);
  return row_bytes % 16 == 0 && std::ranges::all_of(matrix, [&](const Tile& tile) {
           return tile.col_count == matrix.cols && reinterpret_cast<std::uintptr_t>(tile.data) % 16 == 0;
         });
}

bool has_gains(const RecordView& record) { return record.is_general() || record.rank_gain != nullptr; }

std::int32_t hadamard_rank(const RecordView& record) { return record.low_rank == LowRank::hadamard ? record.rank : 0; }

// Whether it has a part in what expand does.
bool expands(const RecordView& record) {
  return (!record.b.empty() && record.low_rank == LowRank::sum) || record.bias != nullptr || record.gain != nullptr;
}

// Writes an adapter's table into memory of the host: the records of all kinds, then gains, then the pieces of matrices.
class TableWriter {
 public:
  TableWriter(std::byte* at_host, const std::byte* at_device, const TableCounts& counts)
      : records_(reinterpret_cast<LoraRecord*>(at_host)),
        gains_(reinterpret_cast<LoraGains*>(records_ + counts.records)),
        pieces_(reinterpret_cast<MatrixPiece*>(gains_ + counts.gains)),
        device_records_(reinterpret_cast<const LoraRecord*>(at_device)),
        device_gains_(reinterpret_cast<const LoraGains*>(device_records_ + counts.records)),
        device_pieces_(reinterpret_cast<const MatrixPiece*>(device_gains_ + counts.gains)) {}

  [[nodiscard]] const LoraRecord* at_device(std::size_t record) const { return device_records_ + record; }

  void write(std::size_t index, const RecordView& view) {
    LoraRecord record;
    place(record.a, record.a_pieces, view.a);
    place(record.b, record.b_pieces, view.b);
    record.bias = view.bias;
    if (has_gains(view)) {
      gains_[gain_count_] = {.input_gain = view.input_gain,
                             .rank_gain = view.rank_gain,
                             .delta_gain = view.delta_gain,
                             .gain = view.gain,
                             .out = view.out,
                             .hadamard_rank = hadamard_rank(view)};
      record.gains = device_gains_ + gain_count_++;
    }
    record.z_begin = view.z_begin;
    record.slice_begin = view.slice_begin;
    record.out = expands(view) ? view.out : 0;
    record.scale = view.scale;
    const bool is_sum = view.low_rank == LowRank::sum;
    record.shrink_rank = static_cast<std::uint16_t>(is_sum && !view.a.empty() ? view.rank : 0);
    record.expand_rank = static_cast<std::uint16_t>(is_sum && !view.b.empty() ? view.rank : 0);
    record.is_a_wide = has_wide_rows(view.a) ? 1 : 0;
    // Rows of whole 16 bytes have outputs in fours.
    record.is_b_wide = has_wide_rows(view.b) && view.slice_begin % 4 == 0 ? 1 : 0;
    record.replaces_bias = view.bias != nullptr && view.bias_mode == BiasMode::replace ? 1 : 0;
    records_[index] = record;
  }

 private:
  void place(const Bfloat16*& whole, const MatrixPiece*& pieces, const TiledMatrix& matrix) {
    if (matrix.empty()) return;
    check(matrix.dtype == DType::bf16, "expected matrices in the backend's format");
    if (is_in_one_piece(matrix)) {
      whole = reinterpret_cast<const Bfloat16*>(matrix.tiles->data);
      return;
    }
    pieces = device_pieces_ + piece_count_;
    for (const Tile& tile : matrix) {
      pieces_[piece_count_++] = {reinterpret_cast<const Bfloat16*>(tile.data), tile.row_begin, tile.row_count, tile.col_begin,
                                 tile.col_count};
    }
  }

  LoraRecord* records_;
  LoraGains* gains_;
  MatrixPiece* pieces_;
  const LoraRecord* device_records_;
  const LoraGains* device_gains_;
  const MatrixPiece* device_pieces_;
  std::size_t gain_count_ = 0, piece_count_ = 0;
};

}  // namespace

std::size_t AdapterTables::usual_bytes(std::int64_t layers) {
  constexpr std::int64_t kRecords = 7, kPieces = 2;  // q, k, v, o, gate, up, down; of each
  return static_cast<std::size_t>(layers * kRecords) * (sizeof(LoraRecord) + kPieces * sizeof(MatrixPiece));
}

// Tables that were made stay where they are, for the steps that use them; they are made anew when a step uses them next.
Status AdapterTables::reserve(std::size_t bytes) {
  check(bytes > 0, "expected memory for tables");
  Memory memory;
  Result<Buffer> at_device = allocate_buffer(device_, bytes);
  if (!at_device) return forward_error(at_device);
  memory.at_device = *std::move(at_device);
  Result<Buffer> at_host = allocate_host_buffer(device_, bytes);
  if (!at_host) return forward_error(at_host);
  memory.at_host = *std::move(at_host);
  memories_.push_back(std::move(memory));
  for (Entry& entry : entries_) entry.number = 0;
  spare_.splice(spare_.end(), entries_);
  next_ = entries_.end();
  gap_begin_ = 0;
  copies_.reserve(kCopiesAtFirst);
  return {};
}

void AdapterTables::begin_step(std::uint64_t number, std::uint64_t done_before) {
  step_ = number;
  done_before_ = done_before;
}

const AdapterTable& AdapterTables::find_or_make(const AdapterView& adapter) {
  AdapterView::Kept& kept = adapter.kept;
  check(kept.number == 0 || kept.place < all_.size(), "expected an adapter of this backend");
  if (kept.number == 0 || all_[kept.place]->number != kept.number) {
    const TableCounts counts = count(adapter);
    Entry& entry = add_entry(counts.bytes());
    write(entry, adapter, counts);
    entry.number = ++made_count_;
    kept = {entry.index, entry.number};
  }
  Entry& entry = *all_[kept.place];
  entry.last_step = step_;
  return entry.table;
}

// Also finds how many records a layer has at most, of each kind.
TableCounts AdapterTables::count(const AdapterView& adapter) {
  check(adapter.expert_count == 0, "expected an adapter of a model without experts");
  per_layer_.assign(kSiteKindCount, 0);
  TableCounts counts;
  for (std::size_t site = 0; site < adapter.sites.size(); ++site) {
    std::int32_t& per_layer = per_layer_[site % per_layer_.size()];
    per_layer = std::max(per_layer, adapter.sites[site].count);
  }
  for (const RecordView& record : adapter.records) {
    if (has_gains(record)) ++counts.gains;
    for (const TiledMatrix* const matrix : {&record.a, &record.b}) {
      if (!matrix->empty() && !is_in_one_piece(*matrix)) counts.pieces += static_cast<std::size_t>(matrix->tile_count);
    }
  }
  const std::size_t layers = adapter.sites.size() / per_layer_.size();
  for (const std::int32_t per_layer : per_layer_) counts.records += layers * static_cast<std::size_t>(per_layer);
  return counts;
}

AdapterTables::Entry& AdapterTables::add_entry(std::size_t bytes) {
  const std::size_t aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  // Rare: it waits for the device.
  if (!try_find_gap(aligned)) require_done(reserve(2 * std::max(aligned, memory_bytes())));
  if (spare_.empty()) {
    all_.reserve(all_.size() + 1);  // so that a spare entry is always in all_
    spare_.emplace_back().index = static_cast<std::uint32_t>(all_.size());
    all_.push_back(&spare_.back());
  }
  Entry& entry = spare_.front();
  entries_.splice(next_, spare_, spare_.begin());
  entry.begin = gap_begin_;
  entry.end = gap_begin_ + aligned;
  gap_begin_ = entry.end;
  return entry;
}

bool AdapterTables::try_find_gap(std::size_t bytes) {
  if (bytes > memory_bytes()) return false;
  // To the memory's end, and once round.
  for (int round = 0; round < 2;) {
    const bool is_last = next_ == entries_.end();
    if ((is_last ? memory_bytes() : next_->begin) - gap_begin_ >= bytes) return true;
    if (is_last) {
      next_ = entries_.begin();
      gap_begin_ = 0;
      ++round;
    } else if (next_->last_step < done_before_) {
      next_->number = 0;
      spare_.splice(spare_.end(), entries_, next_++);
    } else {
      gap_begin_ = next_->end;
      ++next_;
    }
  }
  return false;
}

void AdapterTables::write(Entry& entry, const AdapterView& adapter, const TableCounts& counts) {
  AdapterTable& table = entry.table;
  const Memory& memory = memories_.back();
  std::byte* const at_host = memory.at_host.data() + entry.begin;
  std::byte* const at_device = memory.at_device.data() + entry.begin;
  const std::size_t layers = adapter.sites.size() / per_layer_.size();
  TableWriter writer(at_host, at_device, counts);
  std::fill_n(reinterpret_cast<LoraRecord*>(at_host), counts.records, LoraRecord{});

  table.kinds.resize(per_layer_.size());
  std::size_t first = 0;  // of the kind
  for (std::size_t kind = 0; kind < per_layer_.size(); ++kind) {
    const auto per_layer = static_cast<std::size_t>(per_layer_[kind]);
    AdapterTable::Kind& made = table.kinds[kind];
    made.table = {writer.at_device(first), per_layer_[kind]};
    made.expands = false;
    made.scales = false;
    made.shrink_ranks.assign(per_layer, 0);
    made.scaled.assign(per_layer, {});
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const AdapterView::Range& range = adapter.sites[layer * per_layer_.size() + kind];
      for (std::size_t i = 0; i < static_cast<std::size_t>(range.count); ++i) {
        const RecordView& record = adapter.records[static_cast<std::size_t>(range.begin) + i];
        writer.write(first + layer * per_layer + i, record);
        made.expands = made.expands || expands(record);
        made.scales = made.scales || record.input_gain != nullptr || hadamard_rank(record) > 0;
        made.scaled[i].has_input_gain = made.scaled[i].has_input_gain || record.input_gain != nullptr;
        made.scaled[i].hadamard_rank = std::max(made.scaled[i].hadamard_rank, hadamard_rank(record));
        if (AdapterBatch::takes_part(record, RecordUse::shrink)) made.shrink_ranks[i] = std::max(made.shrink_ranks[i], record.rank);
      }
    }
    first += layers * per_layer;
  }
  if (counts.bytes() > 0) copies_.push_back({at_device, at_host, counts.bytes()});
}

}  // namespace slora::cuda
