#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "ops/activation.h"
#include "ops/expert_rows.h"
#include "ops/kv_layer.h"
#include "ops/record_view.h"
#include "ops/rope_table.h"
#include "ops/sampling.h"
#include "ops/site.h"
#include "ops/step_array.h"
#include "ops/token.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace slora {

// The arguments of Ops; those that kernels take too are in ops/ (RecordView, KvLayer, SpanView, RopeTable, SampleRow, ...). All of them
// borrow, and what they refer to outlives the step.

// Numbers in device memory that ops read with a product or a norm: a bias or a gain. [count] fp32
struct DeviceVector {
  Buffer memory;
  std::int64_t count = 0;

  [[nodiscard]] bool empty() const { return count == 0; }
  [[nodiscard]] Tensor view() const { return memory.view(DType::f32, 1, count); }
};

// How a weight is stored: as bf16, as bytes with a scale for every group of inputs, or in four bits with a scale and an offset for every
// group. The fewer bits, the less memory and accuracy.
enum class WeightStorage : std::uint8_t { bf16, int8, int4 };
[[nodiscard]] constexpr std::string_view name_of(WeightStorage storage) {
  return storage == WeightStorage::int8 ? "int8" : storage == WeightStorage::int4 ? "int4" : "bf16";
}
// The storage of this name; none for other names.
[[nodiscard]] constexpr std::optional<WeightStorage> weight_storage_of(std::string_view name) {
  for (const WeightStorage storage : {WeightStorage::bf16, WeightStorage::int8, WeightStorage::int4}) {
    if (name_of(storage) == name) return storage;
  }
  return std::nullopt;
}

// How many numbers were packed in int4, and how many of them are kept to the bit, since their groups have such scales and offsets.
struct Int4Count {
  std::int64_t all = 0, kept = 0;
};

// The weight of one linear product y = W x + bias, W [out, in], in the layout of the backend that packed it.
struct LinearWeight {
  std::int64_t out = 0;
  std::int64_t in = 0;
  Buffer packed;
  DeviceVector bias;                            // [out], or empty
  WeightStorage storage = WeightStorage::bf16;  // of `packed`, on backends that have a choice
  std::span<const float> input_squares{};       // [in] or empty, while rows are packed: how much errors count, input by input
  std::int64_t fine_rows = 0;                   // the last ones, which are kept in more bits than the others: int4 in int8, int8 in bf16
};

// Rows are packed 32 together, so fine rows begin at a multiple of that: some rows more.
[[nodiscard]] constexpr std::int64_t packed_fine_rows(std::int64_t out, std::int64_t fine_rows) {
  return fine_rows == 0 ? 0 : out - (out - fine_rows) / 32 * 32;
}

// The products of one MLP, or of one expert of a mixture: down(activation(gate) * up).
struct MlpWeights {
  LinearWeight gate_up;  // [2 width, hidden]; empty where a layer has no such MLP
  LinearWeight down;     // [hidden, width]
};

// A mixture of experts over T rows, with scratch.
struct ExpertBatch {
  ExpertRows rows;                      // of Ops::route()
  std::span<const MlpWeights> weights;  // [expert_count + 1], of experts 0 and up
  Tensor x;                             // [T, hidden] product, scratch
  Tensor ff;                            // [T, the largest width] product, scratch
  Tensor y;                             // [T, hidden] activation, scratch
  Tensor z;                             // [T, z columns] fp32, scratch
};

// One resident adapter as kernels see it, or a blend of several. Constant after construction; made by the engine's loader once the image is
// in the pool.
struct AdapterView {
  AdapterId id;                     // of the content, the same on all shards
  std::vector<RecordView> records;  // ordered by site
  std::vector<Tile> tiles;          // what the records' matrices point into
  struct Range {
    std::int32_t begin = 0, count = 0;
    std::int32_t z_cols = 0;  // columns that this site's shrink results take: of one shard where the ranks are split, equal on all shards
  };
  std::vector<AdapterView> other_shards;  // of the same adapter on shards 1, 2, ...; only the view of shard 0 has them
  struct Component {
    float weight = 1;
    std::unique_ptr<const AdapterView> view;
  };
  std::vector<Component> components;  // of a blend, which itself has no records and no sites
  std::vector<Range> sites;           // [site_count(layers, expert_count)], by index_of
  std::int32_t expert_count = 0;      // of each layer, that a router chooses from
  bool changes_mlps = false;          // gate, up or down of some layer
  std::int32_t added_tokens = 0;      // that it has beyond the base's vocabulary
  std::int32_t z_cols_max = 0;        // columns of z that suffice for every site, with those of all shards
  std::int32_t shard_z_cols_max = 0;  // the largest z_cols of a site: of one shard where the ranks are split
  std::int32_t rope_begin = 0;        // of the RoPE table, the row of position 0; only the view of shard 0 has it
  // Where the backend whose memory the image is in keeps what it made of this view for its kernels. That backend writes it, in
  // prepare_step() and in ops.
  struct Kept {
    std::uint32_t place = 0;
    std::uint64_t number = 0;  // 0: nowhere
  };
  mutable Kept kept;

  [[nodiscard]] const Range& range_of(Site site) const { return sites[index_of(site, expert_count)]; }
  [[nodiscard]] const AdapterView& of_shard(std::int32_t shard) const {
    return shard == 0 ? *this : other_shards[static_cast<std::size_t>(shard) - 1];
  }
  [[nodiscard]] std::span<const RecordView> at(Site site) const {
    const Range& range = range_of(site);
    return {records.data() + range.begin, static_cast<std::size_t>(range.count)};
  }
};

// Consecutive rows of the batch under one adapter with its weight. Overlapping segments add up and have z columns of their own. Rows in no
// segment get exactly the base model.
struct AdapterSegment {
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t z_begin;  // first z column of this segment
  float weight;
  const AdapterView* adapter;
};

// Consecutive rows under the same segments: the part [segment_begin, segment_begin + segment_count) of AdapterBatch::run_segments. A kernel
// that gives each run to one work item never adds to a row from two.
struct AdapterRun {
  std::int32_t row_begin = 0;
  std::int32_t row_count = 0;
  std::int32_t segment_begin = 0;
  std::int32_t segment_count = 0;
};

// Which part of what a record does: z = A x, the logits of tokens beyond the base's, or the rest.
enum class RecordUse : std::uint8_t { shrink, expand, add_logits };

struct AdapterBatch {
  StepArray<AdapterSegment> segments;
  std::int32_t z_cols = 0;                 // columns of z that the segments need at any site
  std::int32_t z_shard_cols = 0;           // columns from one shard's shrink results to the next one's, where the ranks are split
  StepArray<AdapterRun> runs{};            // of the rows that are in segments, in order; see AdapterRuns
  StepArray<std::int32_t> run_segments{};  // indices of segments, those of a run in their order

  [[nodiscard]] static bool takes_part(const RecordView& record, RecordUse use) {
    if (use == RecordUse::shrink) return !record.a.empty() && record.low_rank == LowRank::sum;
    if (use == RecordUse::add_logits) return !record.added_rows.empty();
    return !record.b.empty() || record.bias != nullptr || record.is_general();
  }

  // Replaces `out`, whose capacity is reused, by the records that take part at one site as kernels take them: in the order of the segments,
  // and of the records within them.
  void find_records(std::vector<AppliedRecord>& out, Site site, RecordUse use) const {
    out.clear();
    for (const AdapterSegment& segment : segments.on_device()) {
      if (segment.row_count == 0) continue;  // padding
      for (const RecordView& record : segment.adapter->at(site)) {
        if (!takes_part(record, use)) continue;
        const std::int32_t z_begin = record.z_shard * z_shard_cols + segment.z_begin + record.z_begin;
        out.push_back({segment.row_begin, segment.row_count, z_begin, segment.weight, &record});
      }
    }
  }
};

}  // namespace slora
