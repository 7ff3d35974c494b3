#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "adapters/adapter_record.h"
#include "formats/module_table.h"

namespace slora {

// The ranks [begin, begin + count) of a record that one shard computes. Each shard has rank / shard_count of them, and those that remain go
// to one shard each from `first_shard` on, so that the shards' totals over several records differ by at most one.
struct RankSlice {
  std::int32_t begin = 0, count = 0;
};
[[nodiscard]] RankSlice rank_slice(std::int32_t rank, std::int32_t shard, std::int32_t shard_count, std::int32_t first_shard);

// What one shard stores of an adapter, ordered by site; with one shard, the records as they are.
// Where shards hold slices of the base's outputs (qkv, gate_up, head), a shard has A of its own ranks, in a record of its own, and then for
// each shard's ranks a record with B of its own outputs; the first of those has the biases and the gains but that of the ranks, which is
// with A, and that of B's outputs, which is with B. Where shards hold slices of the base's inputs (o, down), a shard has A of all ranks and
// its own inputs, and B of all ranks and of the outputs that it adds to the partial sum; what changes the base's product itself, or is
// computed from its inputs, is in a record of its own, for all outputs: gains and sparse matrices. A and B that change the base's product
// (LowRank::hadamard) are not split by ranks. No other part of A is on two shards, and no part of B is, except for that of a KV head that
// several shards hold. Requires: records ordered by (site, slice_begin), their parts whole.
[[nodiscard]] std::vector<AdapterRecord> cut_for_shard(std::span<const AdapterRecord> records, const ModuleTable& base, std::int32_t shard);

}  // namespace slora
