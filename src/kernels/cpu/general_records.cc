#include "kernels/cpu/general_records.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int64_t kBlockElements = 4096;  // of y that a work item completes at once

bool covers(const AppliedRecord& applied, std::int32_t row) {
  return row >= applied.row_begin && row < applied.row_begin + applied.row_count;
}

bool is_general(const AppliedRecord& applied) { return applied.record->is_general(); }

bool has_input_gain_of_all(const AppliedRecord& applied, std::int64_t out) {
  return applied.record->input_gain != nullptr && applied.record->slice_begin == 0 && applied.record->out == out;
}

bool adds_low_rank(const RecordView& record) { return record.rank > 0 && !record.b.empty(); }

// Calls use(first, count, offset) with the columns of the record's slice that lie in [begin, end): the first of them within the slice,
// their number, and where they begin behind `begin`.
template <class Use>
void with_slice(const RecordView& record, std::int64_t begin, std::int64_t end, Use use) {
  const std::int64_t from = std::max<std::int64_t>(begin, record.slice_begin);
  const std::int64_t to = std::min<std::int64_t>(end, record.slice_begin + record.out);
  if (from < to) use(from - record.slice_begin, to - from, from - begin);
}

}  // namespace

void GeneralRecords::pick(Tensor x, Tensor z, std::span<const float> bias, std::int64_t out, std::span<const AppliedRecord> records) {
  bands_.clear();
  inputs_ = x;
  others_ = records;
  if (std::ranges::none_of(records, is_general)) return;
  x_ = x;
  z_ = z;
  bias_ = bias;
  records_ = records;
  zeros_.resize(std::max(zeros_.size(), static_cast<std::size_t>(out)));
  no_bias_ = {};
  no_bias_.out = static_cast<std::int32_t>(out);
  no_bias_.bias = zeros_.data();
  no_bias_.bias_mode = BiasMode::replace;
  cut_rows(records);
  others_ = other_records_;
  products_.clear();
  for (const AppliedRecord& applied : records) {
    const RecordView& record = *applied.record;
    check(record.low_rank == LowRank::sum || !adds_low_rank(record) || record.a.rows == record.rank, "expected A and B of all ranks");
    if (record.low_rank == LowRank::hadamard && adds_low_rank(record)) products_.add_hadamard(applied);
    if (record.input_gain != nullptr && !has_input_gain_of_all(applied, out)) products_.add_input_gain(applied);
  }
  find_inputs(x, records);
}

// Goes through the rows from one place where the set of records changes to the next.
void GeneralRecords::cut_rows(std::span<const AppliedRecord> records) {
  band_records_.clear();
  other_records_.clear();
  cuts_.clear();
  for (const AppliedRecord& applied : records) {
    cuts_.push_back(applied.row_begin);
    cuts_.push_back(applied.row_begin + applied.row_count);
  }
  std::ranges::sort(cuts_);
  cuts_.erase(std::ranges::unique(cuts_).begin(), cuts_.end());
  const bool is_in_order = std::ranges::is_sorted(records, {}, &AppliedRecord::row_begin);
  std::size_t first = 0;  // no record before it reaches the rows that remain
  for (std::size_t i = 0; i + 1 < cuts_.size(); ++i) {
    const std::size_t record_begin = band_records_.size();
    while (first < records.size() && records[first].row_begin + records[first].row_count <= cuts_[i]) ++first;
    for (std::size_t k = first; k < records.size() && !(is_in_order && records[k].row_begin >= cuts_[i + 1]); ++k) {
      if (covers(records[k], cuts_[i])) band_records_.push_back(&records[k]);
    }
    add_rows(cuts_[i], cuts_[i + 1], record_begin);
  }
}

// Rows [begin, end) are under the records from `record_begin` on.
void GeneralRecords::add_rows(std::int32_t begin, std::int32_t end, std::size_t record_begin) {
  const std::size_t record_end = band_records_.size();
  const auto records = std::span(band_records_).subspan(record_begin);
  if (std::ranges::none_of(records, [](const AppliedRecord* applied) { return is_general(*applied); })) {
    for (const AppliedRecord* applied : records) {
      other_records_.push_back({begin, end - begin, applied->z_begin, applied->weight, applied->record});
    }
    band_records_.resize(record_begin);
    return;
  }
  for (std::int32_t row = begin; row < end; row += kExpandDeferredRows) {
    bands_.push_back({row, std::min(kExpandDeferredRows, end - row), record_begin, record_end});
  }
  if (!bias_.empty()) other_records_.push_back({begin, end - begin, 0, 1.0f, &no_bias_});
}

void GeneralRecords::find_inputs(Tensor x, std::span<const AppliedRecord> records) {
  const auto is_applied = [&](const AppliedRecord& applied) { return has_input_gain_of_all(applied, no_bias_.out); };
  if (std::ranges::none_of(records, is_applied)) return;
  auto* scaled = scaled_.take<Bfloat16>(static_cast<std::size_t>(x.rows * x.cols));
  inputs_ = {reinterpret_cast<std::byte*>(scaled), DType::bf16, x.rows, x.cols, x.cols};
  pool_.parallel_rows(x.rows, x.cols, [&](std::int64_t t) { std::copy_n(x.row<const Bfloat16>(t), x.cols, inputs_.row<Bfloat16>(t)); });
  for (const AppliedRecord& applied : records) {
    if (!is_applied(applied)) continue;
    pool_.parallel_rows(applied.row_count, x.cols, [&](std::int64_t i) {
      const std::int64_t t = applied.row_begin + i;
      scale_inputs(inputs_.row<Bfloat16>(t), x.row<const Bfloat16>(t), applied.record->input_gain, x.cols);
    });
  }
}

// Work items: every band on one piece of the columns, then on the next, so that B stays in cache from band to band.
void GeneralRecords::finish(Tensor y) {
  constexpr std::int64_t kItemsPerThread = 4;
  constexpr std::int64_t kPieceCols = 64;
  const auto band_count = std::ssize(bands_);
  const std::int64_t rows_max = std::ranges::max(bands_, {}, &Band::row_count).row_count;
  const std::int64_t wanted = y.cols * band_count / (kItemsPerThread * pool_.thread_count()) / kPieceCols * kPieceCols;
  const std::int64_t piece = std::clamp(wanted, kPieceCols, kBlockElements / rows_max / kPieceCols * kPieceCols);
  const std::int64_t piece_count = (y.cols + piece - 1) / piece;
  auto* scratch = scratch_.take<float>(static_cast<std::size_t>(3 * kBlockElements * pool_.thread_count()));
  pool_.parallel_for(piece_count * band_count, [&](std::int64_t index, int worker) {
    float* const own = scratch + 3 * kBlockElements * worker;
    const std::int64_t begin = index / band_count * piece;
    finish_block(y, bands_[static_cast<std::size_t>(index % band_count)],
                 {begin, std::min(begin + piece, y.cols), own, own + kBlockElements, own + 2 * kBlockElements});
  });
}

void GeneralRecords::finish_block(Tensor y, const Band& band, const Block& block) const {
  for (const AppliedRecord* applied : records_of(band)) {
    if (applied->record->low_rank == LowRank::sum && adds_low_rank(*applied->record)) add_low_rank(y, band, *applied, block);
  }
  find_gains(band, block);
  for (std::int32_t row = band.row_begin; row < band.row_begin + band.row_count; ++row) {
    float* const values = y.row<float>(row) + block.begin;
    for (std::int64_t i = 0; i < block.end - block.begin; ++i) values[i] = block.gain[i] * values[i] + block.constant[i];
  }
}

// y += delta_gain * (weight * scale * B z)
void GeneralRecords::add_low_rank(Tensor y, const Band& band, const AppliedRecord& applied, const Block& block) const {
  const RecordView& record = *applied.record;
  with_slice(record, block.begin, block.end, [&](std::int64_t first, std::int64_t count, std::int64_t offset) {
    std::fill_n(block.delta, band.row_count * count, 0.0f);
    RecordView only_b = record;
    only_b.slice_begin = static_cast<std::int32_t>(-first);  // delta begins within the slice
    only_b.bias = nullptr;
    const AppliedRecord alone{0, band.row_count, applied.z_begin, applied.weight, &only_b};
    const Tensor delta{reinterpret_cast<std::byte*>(block.delta), DType::f32, band.row_count, count, count};
    kernels_.expand_deferred({delta, z_.rows_from(band.row_begin, band.row_count), {&alone, 1}, 0, count}, nullptr);
    for (std::int32_t row = 0; row < band.row_count; ++row) {
      float* const to = y.row<float>(band.row_begin + row) + block.begin + offset;
      const float* const from = block.delta + row * count;
      if (record.delta_gain == nullptr) {
        for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
      } else {
        for (std::int64_t i = 0; i < count; ++i) to[i] += record.delta_gain[first + i] * from[i];
      }
    }
  });
}

// The gains of the block's columns, and what is added after them.
void GeneralRecords::find_gains(const Band& band, const Block& block) const {
  const std::int64_t width = block.end - block.begin;
  std::fill_n(block.gain, width, 1.0f);
  if (bias_.empty()) {
    std::fill_n(block.constant, width, 0.0f);
  } else {
    std::copy_n(bias_.begin() + block.begin, width, block.constant);
  }
  for (const AppliedRecord* applied : records_of(band)) {
    const RecordView& record = *applied->record;
    with_slice(record, block.begin, block.end, [&](std::int64_t first, std::int64_t count, std::int64_t offset) {
      if (record.gain != nullptr) std::copy_n(record.gain + first, count, block.gain + offset);
      if (record.replaces_bias()) std::copy_n(record.bias + first, count, block.constant + offset);
    });
  }
  for (const AppliedRecord* applied : records_of(band)) {
    const RecordView& record = *applied->record;
    if (record.bias == nullptr || record.replaces_bias()) continue;
    with_slice(record, block.begin, block.end, [&](std::int64_t first, std::int64_t count, std::int64_t offset) {
      for (std::int64_t i = 0; i < count; ++i) block.constant[offset + i] += applied->weight * record.bias[first + i];
    });
  }
}

}  // namespace slora::cpu
