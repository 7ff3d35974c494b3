#include "backend/expert_groups.h"

#include <algorithm>

#include "kernels/reference/add_shares.h"

namespace slora {

void cut_to_rows(std::vector<AdapterSegment>& out, const AdapterBatch& adapters, std::span<const std::int32_t> rows) {
  out.clear();
  for (const AdapterSegment& segment : adapters.segments.on_device()) {
    if (segment.row_count == 0 || !segment.adapter->changes_mlps) continue;
    const auto first = std::ranges::lower_bound(rows, segment.row_begin);
    const auto last = std::lower_bound(first, rows.end(), segment.row_begin + segment.row_count);
    if (first == last) continue;
    out.push_back({static_cast<std::int32_t>(first - rows.begin()), static_cast<std::int32_t>(last - first), segment.z_begin,
                   segment.weight, segment.adapter});
  }
}

void ExpertGroups::run(Ops& ops, Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                       Activation activation) {
  ops.fill(out, 0.0f);
  run(ops, x, experts, adapters, layer, activation,
      [&](Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares) { reference::add_shares(out, y, rows, shares); });
}

}  // namespace slora
