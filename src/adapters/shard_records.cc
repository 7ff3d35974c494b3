#include "adapters/shard_records.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

bool is_sparse(PartKind kind) { return kind == PartKind::row_counts || kind == PartKind::columns || kind == PartKind::values; }

// Cuts the records of one shard, site after site.
class RecordCutter {
 public:
  RecordCutter(const ModuleTable& base, std::int32_t shard)
      : base_(base), shard_(shard), z_ends_(static_cast<std::size_t>(base.shard_count)) {}

  void add(const AdapterRecord& record) {
    if (out_.empty() || record.site != site_) begin_site(record.site);
    if (record.module == kNoModule) {  // every shard has norms and the embedding whole
      out_.push_back(record);
      return;
    }
    const ModuleEntry& module = base_.modules[static_cast<std::size_t>(record.module)];
    check(module.site == record.site && module.slice_begin == record.slice_begin, "expected the record's module in the base");
    const ModuleCut& cut = module.cuts[static_cast<std::size_t>(shard_)];
    lists_rows_ = record.find(PartKind::row_ids) != nullptr;
    block_ = module.splits_input ? shard_ : 0;
    if (base_.shard_count == 1) {
      add_record(record, cut, 0, record.rank).parts = record.parts;
    } else if (module.splits_input) {
      add_of_partial_sums(record, module, cut);
    } else if (record.low_rank == LowRank::hadamard) {
      add_whole_ranks(record, cut, [](PartKind) { return true; });
    } else {
      add_split_ranks(record, cut);
    }
  }

  [[nodiscard]] std::vector<AdapterRecord> take() { return std::move(out_); }

 private:
  void begin_site(Site site) {
    site_ = site;
    std::ranges::fill(z_ends_, 0);
    first_shard_ = 0;
  }

  // The parts that `takes`, if there are any.
  template <class Takes>
  void add_whole_ranks(const AdapterRecord& record, const ModuleCut& cut, Takes takes) {
    if (std::ranges::none_of(record.parts, takes, &AdapterPart::kind)) return;
    AdapterRecord& out = add_record(record, cut, 0, takes(PartKind::a) ? record.rank : 0);
    for (const AdapterPart& part : record.parts) {
      if (takes(part.kind)) add_part(out, part, cut, {0, record.rank});
    }
  }

  // What changes the base's product changes all outputs of the partial sum; the rest is added by one shard each.
  void add_of_partial_sums(const AdapterRecord& record, const ModuleEntry& module, const ModuleCut& cut) {
    const auto changes_product = [&](PartKind kind) {
      const bool is_low_rank = kind == PartKind::a || kind == PartKind::b;
      return kind == PartKind::input_gain || kind == PartKind::gain || is_sparse(kind) ||
             (is_low_rank && record.low_rank == LowRank::hadamard);
    };
    add_whole_ranks(record, cut, [&](PartKind kind) { return !changes_product(kind); });
    add_whole_ranks(record, {{0, module.out}, cut.in, module.slice_begin}, changes_product);
  }

  void add_split_ranks(const AdapterRecord& record, const ModuleCut& cut) {
    const auto ranks_of = [&](std::int32_t shard) { return rank_slice(record.rank, shard, base_.shard_count, first_shard_); };
    const RankSlice own = ranks_of(shard_);
    if (own.count > 0) {
      AdapterRecord& shrink = add_record(record, cut, shard_, own.count);
      add_part(shrink, *record.find(PartKind::a), cut, own);
      if (const AdapterPart* const gain = record.find(PartKind::rank_gain); gain != nullptr) add_part(shrink, *gain, cut, own);
      z_ends_[static_cast<std::size_t>(shard_)] -= own.count;  // the record with B of these ranks reads the same columns
    }
    bool is_first = true;
    for (std::int32_t shard = 0; shard < base_.shard_count; ++shard) {
      const RankSlice ranks = ranks_of(shard);
      if (ranks.count == 0 && (record.rank > 0 || !is_first)) continue;
      AdapterRecord& expand = add_record(record, cut, shard, ranks.count);
      for (const AdapterPart& part : record.parts) {
        const bool is_of_ranks = part.kind == PartKind::b || part.kind == PartKind::delta_gain;
        const bool is_of_shrink = part.kind == PartKind::a || part.kind == PartKind::rank_gain;
        if (is_of_ranks || (!is_of_shrink && is_first)) add_part(expand, part, cut, ranks);
      }
      is_first = false;
    }
    first_shard_ = (first_shard_ + record.rank) % base_.shard_count;
  }

  AdapterRecord& add_record(const AdapterRecord& record, const ModuleCut& cut, std::int32_t z_shard, std::int32_t rank) {
    AdapterRecord& out = out_.emplace_back(record);
    out.parts.clear();
    out.slice_begin = cut.slice_begin;
    out.out = static_cast<std::int32_t>(cut.out.count);
    out.in = static_cast<std::int32_t>(cut.in.count);
    out.rank = rank;
    out.z_shard = z_shard;
    out.z_begin = z_ends_[static_cast<std::size_t>(z_shard)];
    z_ends_[static_cast<std::size_t>(z_shard)] += out.z_cols();
    return out;
  }

  void add_part(AdapterRecord& record, AdapterPart part, const ModuleCut& cut, RankSlice ranks) {
    const auto out_begin = static_cast<std::int32_t>(cut.out.begin), in_begin = static_cast<std::int32_t>(cut.in.begin);
    switch (part.kind) {
      case PartKind::a:
        part.slice = {ranks.begin, ranks.count, in_begin, record.in};
        break;
      case PartKind::b:
        part.slice = {out_begin, record.out, ranks.begin, ranks.count};
        break;
      case PartKind::input_gain:
        part.slice = {0, 1, in_begin, record.in};
        break;
      case PartKind::rank_gain:
        part.slice = {0, 1, ranks.begin, ranks.count};
        break;
      case PartKind::rows:  // listed ones are on all shards, which leave out those of others; else there is one for each output
        part.slice = lists_rows_ ? SourceSlice{0, part.slice.row_count, in_begin, record.in}
                                 : SourceSlice{out_begin, record.out, in_begin, record.in};
        break;
      case PartKind::added_rows:  // whose logits the first shard adds to those of all
        if (shard_ != 0) return;
        break;
      case PartKind::row_ids:
        record.row_offset = out_begin;
        break;
      case PartKind::row_counts:
        part.slice = {block_, 1, out_begin, record.out};
        break;
      case PartKind::columns:
      case PartKind::values: {
        const ElementRange& elements = record.shard_elements[static_cast<std::size_t>(shard_)];
        part.slice = {0, 1, elements.begin, elements.count};
        break;
      }
      case PartKind::delta_gain:
      case PartKind::gain:
      case PartKind::bias_added:
      case PartKind::bias_replacing:
        part.slice = {0, 1, out_begin, record.out};
        break;
    }
    record.parts.push_back(part);
  }

  const ModuleTable& base_;
  const std::int32_t shard_;
  std::vector<AdapterRecord> out_;
  Site site_{};
  std::vector<std::int32_t> z_ends_;  // [shards] ranks of each so far, at this site
  bool lists_rows_ = false;           // the record being cut
  std::int32_t block_ = 0;            // that the shard has of its sparse matrix
  std::int32_t first_shard_ = 0;      // that gets the next rank that remains
};

}  // namespace

RankSlice rank_slice(std::int32_t rank, std::int32_t shard, std::int32_t shard_count, std::int32_t first_shard) {
  const std::int32_t share = rank / shard_count, rest = rank % shard_count;
  const auto count_of = [&](std::int32_t index) { return share + ((index - first_shard + shard_count) % shard_count < rest ? 1 : 0); };
  RankSlice slice{0, count_of(shard)};
  for (std::int32_t index = 0; index < shard; ++index) slice.begin += count_of(index);
  return slice;
}

std::vector<AdapterRecord> cut_for_shard(std::span<const AdapterRecord> records, const ModuleTable& base, std::int32_t shard) {
  RecordCutter cutter(base, shard);
  for (const AdapterRecord& record : records) cutter.add(record);
  return cutter.take();
}

}  // namespace slora
