#pragma once
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "formats/model_files.h"

namespace slora {

inline constexpr std::int32_t kObservedTokens = 512;

// How large the inputs of a model's products are: the sum over some tokens of the square of each input. Few inputs are a thousand times as
// large as most, and for the same ones whatever the text, so rounding of weights should err least there.
class InputSquares {
 public:
  // Empty where nothing was seen.
  [[nodiscard]] std::span<const float> of(Site site) const;
  // Of rows of x [T, in] bf16.
  void add(Site site, Tensor x);
  // Leaves no input without a weight.
  void finish();

 private:
  std::map<Site, std::vector<float>> squares_;
};

// Loads the model into this backend, which keeps weights in bf16, and computes one prompt of random tokens. Its experts see few of them and
// are left out. For models of one shard.
[[nodiscard]] Result<InputSquares> observe_inputs(const ModelFiles& files, const ModelConfig& config, std::unique_ptr<Backend> backend);

}  // namespace slora
