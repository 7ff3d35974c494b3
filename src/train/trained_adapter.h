#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "formats/module_table.h"
#include "ops/training.h"
#include "train/adapter_masters.h"

namespace slora {

// An adapter that is being trained, as the ops see it: its masters rounded as the backend keeps adapters, the same numbers in fp32 for
// derivatives, and gradients. In the host's memory. Owned by its trainer, used by one thread.
class TrainedAdapter {
 public:
  // Requires: a backend that computes in the host's memory.
  TrainedAdapter(AdapterMasters masters, const ModuleTable& base, Backend& backend);
  TrainedAdapter(const TrainedAdapter&) = delete;
  TrainedAdapter& operator=(const TrainedAdapter&) = delete;
  // Bytes of host memory that an adapter takes: masters, gradients, both rounded forms and the optimiser's two moments.
  [[nodiscard]] static std::size_t bytes_for(const AdapterMasters& masters, const Backend& backend);

  [[nodiscard]] const AdapterMasters& masters() const { return masters_; }
  // Of the masters, in their order. After a change of values() round() must follow, before the next op.
  [[nodiscard]] std::span<float> values() { return masters_.values; }
  [[nodiscard]] std::span<float> gradients() { return gradients_; }
  void round();

  [[nodiscard]] const AdapterView& view() const { return view_; }
  // What is trained of a site, in the order of its outputs.
  [[nodiscard]] std::span<const TrainedModule> modules_at(Site site) const;
  [[nodiscard]] std::int32_t z_cols_at(Site site) const { return view_.range_of(site).z_cols; }
  // The first site in the order of a forward pass.
  [[nodiscard]] Site first_site() const { return masters_.modules.front().site; }

 private:
  struct Image {  // of a module
    std::byte *a = nullptr, *b = nullptr;
  };
  void place_images();
  void make_view(const ModuleTable& base);
  void round_b(const MasterModule& module, std::byte* image);

  AdapterMasters masters_;
  const AdapterFormat format_;
  std::vector<float> gradients_;  // [values]
  std::vector<float> rounded_;    // [values]
  Buffer memory_;
  std::vector<Image> images_;  // [modules], in memory_
  std::vector<float> line_;    // scratch of one stored row of B
  AdapterView view_;
  std::vector<TrainedModule> modules_;  // [modules]
};

}  // namespace slora
