#pragma once
#include <span>
#include <vector>

#include "backend/op_args.h"

namespace slora {

// Cuts the rows of a batch where the set of segments over them changes. Its owner uses it again for later batches: it keeps its memory.
class AdapterRuns {
 public:
  // Valid until the next call, as what it gives.
  void cut(std::span<const AdapterSegment> segments);

  // Adds runs without rows and indices of the first segment up to this count of both.
  void pad(std::size_t count) {
    runs_.resize(count, AdapterRun{});
    run_segments_.resize(count, 0);
  }

  [[nodiscard]] const std::vector<AdapterRun>& runs() const { return runs_; }
  [[nodiscard]] const std::vector<std::int32_t>& segments() const { return run_segments_; }

 private:
  [[nodiscard]] bool try_cut_in_order(std::span<const AdapterSegment> segments);

  std::vector<AdapterRun> runs_;
  std::vector<std::int32_t> run_segments_;
  std::vector<std::int32_t> cuts_;  // rows where a segment begins or ends
};

}  // namespace slora
