#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "train/training_state.h"

namespace slora {

// The checkpoints of a run: folders OUT/checkpoints/step-N, each an adapter with the state to go on from. A folder appears complete, or
// not at all; the newest are kept. One thread; runs with the same OUT must not overlap.
class Checkpoints {
 public:
  // Writes the adapter's own files into a folder.
  using WriteAdapter = std::function<Status(const std::string& folder, const AdapterMasters& masters)>;
  Checkpoints(std::string out, std::int32_t kept_max, WriteAdapter write_adapter);

  // Writes one, unless there is one of this step, and removes older ones than are kept. Returns its path. E_WRITE.
  [[nodiscard]] Result<std::string> save(const TrainingState& state, const AdapterMasters& masters, const RunIdentity& run);
  // The path of the newest one; nothing where there is none. E_READ.
  [[nodiscard]] Result<std::optional<std::string>> newest() const;

 private:
  [[nodiscard]] Result<std::vector<std::string>> paths() const;  // the oldest first

  const std::string folder_;
  const std::int32_t kept_max_;
  const WriteAdapter write_adapter_;
};

}  // namespace slora
