#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "formats/rope_config.h"
#include "tensor/buffer.h"

namespace slora {

// Frequencies of each pair of a head, [head_dim / 2] fp32, and the factor that cos and sin are multiplied with, as
// transformers' modeling_rope_utils computes them (in fp32, so that long positions round alike). Kinds: default, linear
// (positions divided by factor), llama3 (Llama 3.1: long waves slowed down, smooth between), yarn (arXiv 2309.00071),
// dynamic (up to its original length equal to default).
struct RopeFrequencies {
  std::vector<float> inverse;
  float attention_factor = 1;
};
[[nodiscard]] RopeFrequencies make_rope_frequencies(const RopeConfig& config, std::int32_t head_dim);

// cos and sin of all positions below `position_count`, in device memory; owned.
class RopeTables {
 public:
  RopeTables(const RopeFrequencies& frequencies, std::int64_t position_count, Backend& backend);
  // What the constructor allocates.
  [[nodiscard]] static std::size_t bytes_for(std::int32_t head_dim, std::int64_t position_count) {
    return static_cast<std::size_t>(2 * position_count * (head_dim / 2)) * sizeof(float);
  }
  [[nodiscard]] RopeTable view() const { return view_; }

 private:
  Buffer memory_;
  RopeTable view_;
};

}  // namespace slora
