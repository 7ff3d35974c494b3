#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/ops.h"

namespace slora {

// Replaces `out`, whose capacity is reused, by the segments of adapters that change MLPs as they lie over these rows of the batch, one
// after the other. Requires: ascending rows.
void cut_to_rows(std::vector<AdapterSegment>& out, const AdapterBatch& adapters, std::span<const std::int32_t> rows);

// Ops::mix_experts() by the other ops of a backend that works in the host's memory: an expert after the other, each for all of its rows, so
// that its weights are read once. The sum of a row is in the order of the experts. Keeps its memory from step to step; owned by an Ops.
class ExpertGroups {
 public:
  // Calls add(y, rows, shares), which is to add shares[i] * y[i, :] to row rows[i] of out, after each expert.
  template <class Add>
  void run(Ops& ops, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer, Activation activation,
           Add add);
  // Adds them itself, on the thread that calls.
  void run(Ops& ops, Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
           Activation activation);

 private:
  std::vector<AdapterSegment> segments_;
};

template <class Add>
void ExpertGroups::run(Ops& ops, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                       Activation activation, Add add) {
  for (std::int32_t expert = 0; expert <= experts.rows.expert_count; ++expert) {
    const std::span<const std::int32_t> rows = experts.rows.rows_of(expert);
    if (rows.empty()) continue;
    const auto count = std::ssize(rows);
    const bool are_consecutive = rows.back() - rows.front() + 1 == count;
    const Tensor in = are_consecutive ? x.rows_from(rows.front(), count) : experts.x.rows_from(0, count);
    if (!are_consecutive) ops.gather_rows(in, x, rows);
    cut_to_rows(segments_, adapters, rows);
    const AdapterBatch own{.segments = segments_, .z_cols = adapters.z_cols};
    const MlpWeights& weights = experts.weights[static_cast<std::size_t>(expert)];
    const Tensor ff = experts.ff.rows_from(0, count).cols_from(0, weights.down.in);
    const Tensor y = experts.y.rows_from(0, count), z = experts.z.rows_from(0, count);
    const Site gate_up{layer, SiteKind::gate_up, expert}, down{layer, SiteKind::down, expert};
    ops.shrink(z, in, own, gate_up);
    ops.linear_gated(ff, in, weights.gate_up, z, own, gate_up, activation);
    ops.shrink(z, ff, own, down);
    ops.linear(y, ff, weights.down, z, own, down);
    add(y, rows, experts.rows.shares_of(expert));
  }
}

}  // namespace slora
