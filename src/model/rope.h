#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "backend/backend.h"
#include "formats/rope_config.h"
#include "tensor/buffer.h"

namespace slora {

// Frequencies of each pair of a head that rotates, [rotary dim / 2] fp32, and the factor that cos and sin are multiplied with, as
// transformers' modeling_rope_utils computes them (in fp32, so that long positions round alike). Kinds: default, linear
// (positions divided by factor), llama3 (Llama 3.1: long waves slowed down, smooth between), yarn (arXiv 2309.00071),
// dynamic (up to its original length equal to default),
// longrope (up to its original length).
struct RopeFrequencies {
  std::vector<float> inverse;
  float attention_factor = 1;
};
[[nodiscard]] RopeFrequencies make_rope_frequencies(const RopeConfig& config, std::int32_t head_dim);

// cos and sin of all positions that may occur, in device memory; owned by the model.
class RopeTables {
 public:
  struct Size {
    std::int64_t position_count = 0;
    std::int64_t extended_position_count = 0;  // of each part; see RopeTable
    [[nodiscard]] std::int64_t rows() const { return position_count + kRopePartsMax * extended_position_count; }
  };
  // `backend` outlives it.
  RopeTables(const RopeFrequencies& frequencies, const Size& size, Backend& backend);
  // What is taken of the backend's memory at once. Of the host's, parts take something once they are filled only, and little then.
  [[nodiscard]] static std::size_t bytes_for(std::int32_t rotary_dim, const Size& size, const Backend& backend) {
    const std::int64_t rows = backend.shares_host_memory() ? size.position_count : size.rows();
    return static_cast<std::size_t>(2 * rows * (rotary_dim / 2)) * sizeof(float);
  }
  // The first `position_count` rows of a part. Any thread, one at a time; no op may read the part meanwhile.
  void fill_part(std::int32_t part, std::int64_t position_count, const RopeFrequencies& frequencies);
  [[nodiscard]] std::int32_t begin_of(std::int32_t part) const {
    return static_cast<std::int32_t>(size_.position_count + part * size_.extended_position_count);
  }
  [[nodiscard]] RopeTable view() const { return view_; }

 private:
  using Copy = std::function<void(const Tensor& to, const float* from)>;
  void fill(std::int64_t row_begin, std::int64_t row_count, const RopeFrequencies& frequencies, const Copy& copy);

  Backend& backend_;
  const Size size_;
  Buffer memory_;
  Buffer staging_;  // of the host: cos of kStagedRows, then sin
  RopeTable view_;
};

}  // namespace slora
