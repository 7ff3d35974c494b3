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
