#pragma once
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "formats/model_files.h"
#include "formats/model_tensors.h"

namespace slora {

// Which of a model's products a backend keeps in more bits than the others, where it has a choice: those by whose errors answers change
// most. Always head, embedding and routers, then the values of attention, and in four bits its keys and down in some layers. Numbers that a
// file has in four bits stay in four bits, which keep them.
class WeightPlan {
 public:
  // `files`: of the weights, or null if they are drawn. Borrows all three.
  WeightPlan(const ModelConfig& config, const ModelFiles* files, const ShardShape& shape) : config_(config), files_(files), shape_(shape) {}

  // The weight of a fused product, and the bytes that it takes.
  [[nodiscard]] LinearWeight make(std::span<const TensorEntry> modules, Backend& backend) const;
  [[nodiscard]] std::size_t bytes(std::span<const TensorEntry> modules, const Backend& backend) const;
  // Whether some are kept in four bits that the files don't have in four bits.
  [[nodiscard]] bool rounds_to_four_bits(const Backend& backend) const;

 private:
  // Of a product's rows.
  struct Fine {
    bool is_table = false;
    std::int64_t rows = 0;  // the last ones
  };
  [[nodiscard]] Fine fine_of(std::span<const TensorEntry> modules, WeightStorage storage) const;
  [[nodiscard]] bool is_in_four_bits(const TensorEntry& module) const;

  const ModelConfig& config_;
  const ModelFiles* files_;
  const ShardShape& shape_;
};

}  // namespace slora
