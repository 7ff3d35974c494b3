#include "adapters/shard_records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

namespace slora {
namespace {

constexpr std::int32_t kIn = 48;

ModelConfig config_of(std::int32_t kv_head_count) {
  ModelConfig config;
  config.vocab_size = 301;
  config.hidden_size = kIn;
  config.intermediate_size = 80;
  config.layer_count = 1;
  config.head_count = 8;
  config.kv_head_count = kv_head_count;
  config.head_dim = 6;
  return config;
}

ModuleTable modules_of(const ModelConfig& config, std::int32_t shard_count) {
  std::vector<ShardShape> shards;
  for (std::int32_t shard = 0; shard < shard_count; ++shard) shards.push_back(*make_shard_shape(config, shard, shard_count));
  return make_module_table(config, shards);
}

// Records of all modules with these ranks, in the order of the table; 0: a bias alone. Tensors are numbered as they come.
std::vector<AdapterRecord> make_records(const ModuleTable& base, std::span<const std::int32_t> ranks) {
  std::vector<AdapterRecord> records;
  std::uint32_t source = 0;
  for (std::size_t i = 0; i < base.modules.size(); ++i) {
    const ModuleEntry& module = base.modules[i];
    AdapterRecord record;
    record.site = module.site;
    record.slice_begin = module.slice_begin;
    record.out = module.out;
    record.in = module.in;
    record.rank = ranks[i % ranks.size()];
    record.module = static_cast<std::int32_t>(i);
    const auto add = [&](PartKind kind, SourceSlice slice) { record.parts.push_back({kind, SourceTensor{source++}, slice, {}}); };
    if (record.rank > 0) {
      add(PartKind::a, {0, record.rank, 0, record.in});
      add(PartKind::b, {0, record.out, 0, record.rank});
    }
    add(PartKind::bias_added, {0, 1, 0, record.out});
    records.push_back(std::move(record));
  }
  return records;
}

// How often each element of each source tensor is stored.
using Stored = std::map<std::uint32_t, std::map<std::pair<std::int32_t, std::int32_t>, int>>;

void add_stored(Stored& stored, const AdapterRecord& record) {
  for (const AdapterPart& part : record.parts) {
    const SourceSlice& slice = part.slice;
    for (std::int32_t row = slice.row_begin; row < slice.row_begin + slice.row_count; ++row) {
      for (std::int32_t col = slice.col_begin; col < slice.col_begin + slice.col_count; ++col) ++stored[part.source.value][{row, col}];
    }
  }
}

TEST(RankSlice, GivesEveryRankToOneShardAndTheRestInTurn) {
  for (const std::int32_t shard_count : {1, 2, 3, 4, 7}) {
    for (std::int32_t rank = 0; rank <= 20; ++rank) {
      for (std::int32_t first = 0; first < shard_count; ++first) {
        std::int32_t end = 0;
        for (std::int32_t shard = 0; shard < shard_count; ++shard) {
          const RankSlice slice = rank_slice(rank, shard, shard_count, first);
          EXPECT_EQ(slice.begin, end);
          EXPECT_TRUE(slice.count == rank / shard_count || slice.count == rank / shard_count + 1);
          end += slice.count;
        }
        EXPECT_EQ(end, rank);
      }
    }
  }
  EXPECT_EQ(rank_slice(1, 2, 4, 2).count, 1);
  EXPECT_EQ(rank_slice(1, 0, 4, 2).count, 0);
}

TEST(ShardRecords, OfOneShardAreTheRecordsThemselves) {
  const ModuleTable base = make_module_table(config_of(4));
  const std::int32_t ranks[] = {3, 0, 5};
  const std::vector<AdapterRecord> records = make_records(base, ranks);
  const std::vector<AdapterRecord> cut = cut_for_shard(records, base, 0);
  ASSERT_EQ(cut.size(), records.size());
  for (std::size_t i = 0; i < cut.size(); ++i) {
    EXPECT_EQ(cut[i].rank, records[i].rank);
    EXPECT_EQ(cut[i].slice_begin, records[i].slice_begin);
    EXPECT_EQ(cut[i].z_shard, 0);
    const bool begins_site = i == 0 || cut[i].site != cut[i - 1].site;
    EXPECT_EQ(cut[i].z_begin, begins_site ? 0 : cut[i - 1].z_begin + cut[i - 1].rank);
  }
}

TEST(ShardRecords, StoreEveryElementOnOneShard) {
  for (const std::int32_t shard_count : {2, 4, 8}) {
    const ModuleTable base = modules_of(config_of(8), shard_count);
    for (const std::vector<std::int32_t>& ranks : {std::vector{8}, std::vector{1}, std::vector{3, 1, 0, 5, 13}, std::vector{0}}) {
      Stored stored;
      for (std::int32_t shard = 0; shard < shard_count; ++shard) {
        for (const AdapterRecord& record : cut_for_shard(make_records(base, ranks), base, shard)) add_stored(stored, record);
      }
      for (const AdapterRecord& record : make_records(base, ranks)) {
        for (const AdapterPart& part : record.parts) {
          const auto& elements = stored[part.source.value];
          EXPECT_EQ(std::ssize(elements), part.slice.row_count * part.slice.col_count);
          EXPECT_TRUE(std::ranges::all_of(elements, [](const auto& element) { return element.second == 1; }));
        }
      }
    }
  }
}

TEST(ShardRecords, HaveTheShapesOfTheirShareOfTheRanks) {
  const ModuleTable base = modules_of(config_of(8), 4);
  const std::int32_t ranks[] = {8};
  const std::vector<AdapterRecord> cut = cut_for_shard(make_records(base, ranks), base, 2);
  const auto at = [&](SiteKind kind) {
    std::vector<AdapterRecord> records;
    std::ranges::copy_if(cut, std::back_inserter(records), [&](const AdapterRecord& record) { return record.site.kind == kind; });
    return records;
  };
  const std::vector<AdapterRecord> head = at(SiteKind::head), down = at(SiteKind::down);
  ASSERT_EQ(head.size(), 5u) << "A of its own ranks, B of each shard's";
  EXPECT_EQ(head[0].find(PartKind::a)->slice.row_count, 2) << "rank / shards";
  EXPECT_EQ(head[0].find(PartKind::a)->slice.col_count, kIn);
  for (std::int32_t shard = 0; shard < 4; ++shard) {
    const AdapterRecord& expand = head[static_cast<std::size_t>(shard) + 1];
    EXPECT_EQ(expand.z_shard, shard);
    EXPECT_EQ(expand.find(PartKind::b)->slice.col_count, 2);
    EXPECT_EQ(expand.find(PartKind::b)->slice.row_begin, 2 * 76) << "its own tokens";
    EXPECT_EQ(expand.find(PartKind::bias_added) != nullptr, shard == 0) << "added once";
  }
  ASSERT_EQ(down.size(), 1u);
  EXPECT_EQ(down[0].find(PartKind::a)->slice.row_count, 8) << "partial sums of all ranks";
  EXPECT_EQ(down[0].find(PartKind::a)->slice.col_begin, 40);
  EXPECT_EQ(down[0].find(PartKind::a)->slice.col_count, 20) << "inputs / shards";
  EXPECT_EQ(down[0].find(PartKind::b)->slice.row_begin, 24);
  EXPECT_EQ(down[0].find(PartKind::b)->slice.row_count, 12) << "outputs / shards";
  EXPECT_EQ(down[0].slice_begin, 24) << "added to its own outputs of the partial sum";
}

// A record of the module with these parts, in the order of their kinds.
AdapterRecord record_with(const ModuleTable& base, std::string_view path, std::int32_t rank, std::vector<PartKind> kinds) {
  const ModuleEntry& module = *base.find(path);
  AdapterRecord record{.site = module.site,
                       .slice_begin = module.slice_begin,
                       .out = module.out,
                       .in = module.in,
                       .rank = rank,
                       .module = static_cast<std::int32_t>(&module - base.modules.data()),
                       .parts = {}};
  for (std::uint32_t i = 0; i < kinds.size(); ++i) {
    const PartKind kind = kinds[i];
    const std::int32_t rows = kind == PartKind::a ? rank : kind == PartKind::b ? module.out : 1;
    const bool is_of_inputs = kind == PartKind::a || kind == PartKind::input_gain;
    const bool is_of_ranks = kind == PartKind::b || kind == PartKind::rank_gain;
    const std::int32_t cols = is_of_inputs ? module.in : is_of_ranks ? rank : module.out;
    record.parts.push_back({kind, {i}, {0, rows, 0, cols}, {}});
  }
  return record;
}

std::vector<PartKind> kinds_of(const AdapterRecord& record) {
  std::vector<PartKind> kinds;
  for (const AdapterPart& part : record.parts) kinds.push_back(part.kind);
  return kinds;
}

constexpr std::string_view kQ = "model.layers.0.self_attn.q_proj";  // [48, 48], split by outputs
constexpr std::string_view kDown = "model.layers.0.mlp.down_proj";  // [48, 80], split by inputs

// The gain of outputs once, with the first B, and the gain of B with each B.
TEST(ShardRecords, OfSplitOutputsHaveGainsWithWhatTheyMultiply) {
  const ModuleTable base = modules_of(config_of(8), 2);
  using enum PartKind;
  const std::vector<AdapterRecord> whole = {record_with(base, kQ, 4, {a, b, input_gain, rank_gain, delta_gain, gain, bias_replacing})};
  const std::vector<AdapterRecord> cut = cut_for_shard(whole, base, 1);
  ASSERT_EQ(cut.size(), 3u);
  EXPECT_EQ(kinds_of(cut[0]), (std::vector{a, rank_gain}));
  EXPECT_EQ(cut[0].find(rank_gain)->slice, (SourceSlice{0, 1, 2, 2})) << "of its own ranks";
  EXPECT_EQ(kinds_of(cut[1]), (std::vector{b, input_gain, delta_gain, gain, bias_replacing}));
  EXPECT_EQ(kinds_of(cut[2]), (std::vector{b, delta_gain}));
  EXPECT_EQ(cut[1].find(input_gain)->slice, (SourceSlice{0, 1, 0, 48})) << "all inputs";
  for (const AdapterRecord* record : {&cut[1], &cut[2]}) {
    EXPECT_EQ(record->find(delta_gain)->slice, (SourceSlice{0, 1, 24, 24})) << "its own outputs";
    EXPECT_EQ(record->slice_begin, 0);
    EXPECT_EQ(record->out, 24);
  }
  EXPECT_EQ(cut[1].find(gain)->slice, (SourceSlice{0, 1, 24, 24}));
}

// A gain without A and B is stored as it is.
TEST(ShardRecords, OfGainsAloneAreOneRecord) {
  const ModuleTable base = modules_of(config_of(8), 2);
  using enum PartKind;
  const std::vector<AdapterRecord> whole = {record_with(base, kQ, 0, {gain, bias_replacing})};
  const std::vector<AdapterRecord> cut = cut_for_shard(whole, base, 1);
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_EQ(kinds_of(cut[0]), (std::vector{gain, bias_replacing}));
  EXPECT_EQ(cut[0].find(gain)->slice, (SourceSlice{0, 1, 24, 24}));
}

// Partial sums: what changes the base's product is of all outputs and the shard's own inputs, what is added of its own outputs.
TEST(ShardRecords, OfSplitInputsHaveGainsOfAllOutputs) {
  const ModuleTable base = modules_of(config_of(8), 2);
  using enum PartKind;
  const std::vector<AdapterRecord> whole = {record_with(base, kDown, 4, {a, b, input_gain, rank_gain, delta_gain, gain, bias_replacing})};
  const std::vector<AdapterRecord> cut = cut_for_shard(whole, base, 1);
  ASSERT_EQ(cut.size(), 2u);
  EXPECT_EQ(kinds_of(cut[0]), (std::vector{a, b, rank_gain, delta_gain, bias_replacing}));
  EXPECT_EQ(cut[0].slice_begin, 24);
  EXPECT_EQ(cut[0].out, 24);
  EXPECT_EQ(cut[0].find(a)->slice, (SourceSlice{0, 4, 40, 40})) << "its own inputs";
  EXPECT_EQ(cut[0].find(rank_gain)->slice, (SourceSlice{0, 1, 0, 4})) << "all ranks";
  EXPECT_EQ(cut[0].find(delta_gain)->slice, (SourceSlice{0, 1, 24, 24}));
  EXPECT_EQ(cut[0].find(bias_replacing)->slice, (SourceSlice{0, 1, 24, 24})) << "added once";
  EXPECT_EQ(kinds_of(cut[1]), (std::vector{input_gain, gain}));
  EXPECT_EQ(cut[1].slice_begin, 0);
  EXPECT_EQ(cut[1].out, 48);
  EXPECT_EQ(cut[1].rank, 0);
  EXPECT_EQ(cut[1].z_cols(), 0);
  EXPECT_EQ(cut[1].find(input_gain)->slice, (SourceSlice{0, 1, 40, 40}));
  EXPECT_EQ(cut[1].find(gain)->slice, (SourceSlice{0, 1, 0, 48}));
  EXPECT_EQ(cut_for_shard(std::vector{record_with(base, kDown, 0, {input_gain})}, base, 1).size(), 1u);
}

// A shard has the elements that the reader of the file found for it: of its outputs, or of its inputs.
TEST(ShardRecords, HaveTheirOwnElementsOfSparseMatrices) {
  const ModuleTable base = modules_of(config_of(8), 2);
  using enum PartKind;
  std::vector<AdapterRecord> whole = {record_with(base, kQ, 0, {row_counts, columns, values}),
                                      record_with(base, kDown, 0, {row_counts, columns, values})};
  for (AdapterRecord& record : whole) record.shard_elements = {{0, 100}, {100, 30}};
  const std::vector<AdapterRecord> cut = cut_for_shard(whole, base, 1);
  ASSERT_EQ(cut.size(), 2u);
  for (const AdapterRecord& record : cut) {
    EXPECT_EQ(kinds_of(record), (std::vector{row_counts, columns, values}));
    EXPECT_EQ(record.find(columns)->slice, (SourceSlice{0, 1, 100, 30}));
    EXPECT_EQ(record.find(values)->slice, (SourceSlice{0, 1, 100, 30}));
    EXPECT_EQ(record.z_cols(), 0);
  }
  EXPECT_EQ(cut[0].find(row_counts)->slice, (SourceSlice{0, 1, 24, 24})) << "its own outputs";
  EXPECT_EQ(cut[0].out, 24);
  EXPECT_EQ(cut[1].find(row_counts)->slice, (SourceSlice{1, 1, 0, 48})) << "all outputs, of its own inputs";
  EXPECT_EQ(cut[1].out, 48);
  EXPECT_EQ(cut[1].in, 40);
  EXPECT_EQ(cut[1].slice_begin, 0);
}

// Its products are the base's, so that no shard computes columns of A x for others.
TEST(ShardRecords, OfProductsWithTheBasesWeightsAreNotSplitByRanks) {
  const ModuleTable base = modules_of(config_of(8), 2);
  using enum PartKind;
  std::vector<AdapterRecord> whole = {record_with(base, kQ, 3, {a, b, input_gain}), record_with(base, kDown, 3, {a, b})};
  for (AdapterRecord& record : whole) record.low_rank = LowRank::hadamard;
  const std::vector<AdapterRecord> cut = cut_for_shard(whole, base, 1);
  ASSERT_EQ(cut.size(), 2u);
  EXPECT_EQ(kinds_of(cut[0]), (std::vector{a, b, input_gain}));
  EXPECT_EQ(cut[0].find(a)->slice, (SourceSlice{0, 3, 0, 48}));
  EXPECT_EQ(cut[0].find(b)->slice, (SourceSlice{24, 24, 0, 3}));
  EXPECT_EQ(kinds_of(cut[1]), (std::vector{a, b}));
  EXPECT_EQ(cut[1].find(a)->slice, (SourceSlice{0, 3, 40, 40}));
  EXPECT_EQ(cut[1].find(b)->slice, (SourceSlice{0, 48, 0, 3})) << "all outputs of the partial sum";
  EXPECT_EQ(cut[1].out, 48);
  for (const AdapterRecord& record : cut) {
    EXPECT_EQ(record.rank, 3);
    EXPECT_EQ(record.low_rank, LowRank::hadamard);
    EXPECT_EQ(record.z_cols(), 0);
  }
}

// What a shard computes, all shards read from the same columns.
TEST(ShardRecords, AgreeOnTheColumnsOfShrinkResults) {
  for (const std::int32_t shard_count : {2, 4}) {
    const ModuleTable base = modules_of(config_of(2), shard_count);
    const std::vector<std::int32_t> ranks = {3, 1, 1, 5, 7, 2};
    const std::vector<AdapterRecord> whole = make_records(base, ranks);
    using Column = std::tuple<Site, std::int32_t, std::int32_t>;  // site, shard, column
    using Rank = std::pair<std::int32_t, std::int32_t>;           // module, rank
    std::map<Column, Rank> computed;
    for (std::int32_t shard = 0; shard < shard_count; ++shard) {
      for (const AdapterRecord& record : cut_for_shard(whole, base, shard)) {
        const AdapterPart* const a = record.find(PartKind::a);
        if (a == nullptr || splits_input(record.site.kind)) continue;
        EXPECT_EQ(record.z_shard, shard);
        for (std::int32_t i = 0; i < record.rank; ++i) {
          const bool is_new =
              computed.emplace(Column{record.site, shard, record.z_begin + i}, Rank{record.module, a->slice.row_begin + i}).second;
          EXPECT_TRUE(is_new);
        }
      }
    }
    for (std::int32_t shard = 0; shard < shard_count; ++shard) {
      std::map<Column, Rank> read;
      for (const AdapterRecord& record : cut_for_shard(whole, base, shard)) {
        const AdapterPart* const b = record.find(PartKind::b);
        if (b == nullptr || splits_input(record.site.kind)) continue;
        for (std::int32_t i = 0; i < record.rank; ++i) {
          read[{record.site, record.z_shard, record.z_begin + i}] = {record.module, b->slice.col_begin + i};
        }
      }
      EXPECT_EQ(read, computed);
    }
    // As many columns for each shard as its share of all ranks of the site, rounded up.
    std::map<Site, std::int32_t> totals;
    for (const AdapterRecord& record : whole) totals[record.site] += record.rank;
    for (const auto& [column, rank] : computed) {
      const auto& [site, shard, index] = column;
      EXPECT_LT(index, (totals[site] + shard_count - 1) / shard_count);
    }
  }
}

}  // namespace
}  // namespace slora
